"""Networks for one scheme of b-values and directions, as of Rot et al., doi:10.48550/arXiv.2507.12632.

Normalised signals in, parameters between 0 and 1 out; the ONNX file says for which scheme it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bids_qmri.training.export import ONNX_FIELDS, Graph, file_content
from bids_qmri.training.parts import Perceptron
from bids_qmri.training.pool import LabelRows, Pool
from bids_qmri.training.recipe import Recipe
from bids_qmri.training.validate import CHUNK, digits


def perceptron(options: Perceptron, inputs: int, outputs: int) -> nn.Sequential:
    """Return an untrained network from `inputs` signals to `outputs` parameters between 0 and 1.

    Hidden layers have exponential linear units, the last one a hard sigmoid, clip(x / 6 + 1/2, 0, 1).
    """
    layers: list[nn.Module] = []
    for width, following in pairwise((inputs, *options.hidden)):
        layers += [nn.Linear(width, following), nn.ELU(options.elu, inplace=True)]
    layers += [nn.Linear(options.hidden[-1], outputs), nn.Hardsigmoid()]
    return nn.Sequential(*layers)


def build(recipe: Recipe, pool: Pool) -> nn.Sequential:
    """Return an untrained network for the signals of a pool."""
    (inputs,) = pool
    return perceptron(recipe.network, inputs, len(recipe.data.quantities))


def loss(recipe: Recipe, steps: int) -> Callable[[nn.Module, LabelRows, int], Tensor]:
    """Return the mean squared error of the labels, by network, rows and step."""

    def of_rows(network: nn.Module, rows: LabelRows, _: int) -> Tensor:
        return nn.functional.mse_loss(network(torch.from_numpy(rows.signal)), torch.from_numpy(rows.label))

    return of_rows


def accuracy(recipe: Recipe, network: nn.Module, held_out: Pool) -> dict[str, Any]:
    """Return, by parameter, errors on signals that were not trained with.

    Root mean squares against label and truth, the mean difference from the truth, and the mean squared error
    over that of the mean of the truths.
    """
    (rows,) = held_out.values()
    with torch.inference_mode():
        answers = torch.cat([network(torch.from_numpy(part.signal)) for part in rows.parts(CHUNK)])
    estimate, truth = answers.numpy().astype(np.float64), rows.truth.astype(np.float64)
    table: dict[str, Any] = {}
    for k, name in enumerate(recipe.data.quantities):
        error = estimate[:, k] - truth[:, k]
        table[name] = {
            "rmse_label": digits(np.sqrt(np.mean((estimate[:, k] - rows.label[:, k]) ** 2))),
            "rmse_truth": digits(np.sqrt(np.mean(error**2))),
            "bias": digits(np.mean(error)),
            "mse_over_prior": digits(np.mean(error**2) / np.var(truth[:, k])),
        }
    return table


def fields(recipe: Recipe) -> dict[str, Any]:
    """Return what the card says of networks of this kind."""
    model = recipe.forward
    return {
        "quantities": list(recipe.data.quantities),
        "normalisation": recipe.data.normalisation,
        "scheme": recipe.protocol.table() | {"digest": recipe.protocol.protocol().digest()},
        **{setting.name: getattr(model, setting.name) for setting in model.settings},
        **ONNX_FIELDS,
        "labels": asdict(recipe.labels),
    }


def content(recipe: Recipe, network: nn.Module, card: Mapping[str, Any]) -> bytes:
    """Return a network as an ONNX file, the same bytes for the same network and card."""
    assert isinstance(network, nn.Sequential)
    graph, x = Graph(), "signal"
    for layer in network:
        if isinstance(layer, nn.Linear):
            x = graph.linear(layer, x)
        elif isinstance(layer, nn.ELU):
            x = graph.add("Elu", x, alpha=float(layer.alpha))
        else:
            x = graph.add("HardSigmoid", x, alpha=1.0 / 6.0, beta=0.5)
    graph.named(x, "parameters")
    inputs, outputs = len(card["scheme"]["bvals"]), len(card["quantities"])
    return file_content(graph, {"signal": ["V", inputs]}, {"parameters": ["V", outputs]}, card)
