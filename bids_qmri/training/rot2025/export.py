"""The network as one ONNX file that says for which scheme it is, and the card beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import nn

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.training.card import FORMAT
from bids_qmri.training.export import IR_VERSION, OPSET, Graph, file_content, typed
from bids_qmri.training.rot2025.recipe import OUTPUTS, SchemeRecipe

NORMALISATION = "mean b0"
"""What the inputs are divided by: the mean of the voxel's signals at b = 0."""


def to_onnx(network: nn.Sequential, card: Mapping[str, Any]) -> bytes:
    """Return a network as the bytes of an ONNX file, the same for the same network and card.

    Parameters
    ----------
    network
        As `perceptron` makes it.
    card
        Stored as JSON in the metadata, key ``card``.
    """
    graph, x = Graph(), "signal"
    for layer in network:
        if isinstance(layer, nn.Linear):
            x = graph.linear(layer, x)
        elif isinstance(layer, nn.ELU):
            x = graph.add("Elu", x, alpha=float(layer.alpha))
        else:
            x = graph.add("HardSigmoid", x, alpha=1.0 / 6.0, beta=0.5)
    graph.named(x, "parameters")
    inputs = len(card["scheme"]["bvals"])
    ends = typed("signal", ["V", inputs]), typed("parameters", ["V", len(OUTPUTS)])
    return file_content(graph, ends[:1], ends[1:], card)


def scheme_card(
    recipe: SchemeRecipe,
    scheme: DiffusionProtocol,
    text: str,
    weights: int,
    accuracy: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the card as a dictionary that JSON can hold.

    Parameters
    ----------
    recipe
        What was trained, everything replaced included.
    scheme
        For which scheme.
    text
        The recipe as it is written, some values of which may have been replaced.
    weights
        Number of trained values.
    accuracy
        What `run.held_out` returned.
    """
    return {
        "format": FORMAT,
        "name": recipe.file_name(scheme),
        "description": recipe.description,
        "model": recipe.model,
        "quantities": list(OUTPUTS),
        "units": dict.fromkeys(OUTPUTS, "1"),
        "normalisation": NORMALISATION,
        "scheme": scheme_table(scheme),
        "d_par": recipe.diffusivity.d_par,
        "d_iso": recipe.diffusivity.d_iso,
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "coverage": {
            "snr": [recipe.signals.snr, recipe.signals.snr],
            "bounds": {name: list(getattr(recipe.signals, name)) for name in OUTPUTS},
        },
        "labels": asdict(recipe.labels),
        "accuracy": dict(accuracy),
        "trained_values": weights,
        "seed": recipe.seed,
        "distinct_curves": recipe.signals.count,
        "recipe": text,
        "recipe_digest": recipe.digest(),
    }


def scheme_table(scheme: DiffusionProtocol) -> dict[str, Any]:
    """Return b-values in s/mm^2, unit directions (0 0 0 where there is none), and the limit of b = 0."""
    directions: Sequence[Any] = [] if scheme.bvecs is None else scheme.bvecs.round(8).tolist()
    return {
        "bvals": scheme.bvals.tolist(),
        "bvecs": directions,
        "b0_threshold": scheme.b0_threshold,
        "digest": scheme.digest(),
    }
