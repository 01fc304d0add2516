"""From a recipe and a scheme to a network and its card: simulate, label, train, test, write."""

from __future__ import annotations

import hashlib
import json
import logging
import resource
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bids_qmri.errors import UsageError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.training.export import write_files
from bids_qmri.training.loop import Checkpointing
from bids_qmri.training.network import count_weights
from bids_qmri.training.rot2025.export import scheme_card, to_onnx
from bids_qmri.training.rot2025.labels import make_labels
from bids_qmri.training.rot2025.loop import Examples, answers, train_epochs
from bids_qmri.training.rot2025.network import perceptron
from bids_qmri.training.rot2025.recipe import OUTPUTS, SchemeRecipe
from bids_qmri.training.rot2025.simulate import simulate
from bids_qmri.units import FloatArray

LOGGER = logging.getLogger("bids_qmri")

LEAST_DIRECTIONS = 6
"""Weighted volumes with directions that a scheme needs for any of the parameters to be determined."""


def train_scheme(
    recipe: SchemeRecipe, scheme: DiffusionProtocol, text: str, folder: Path
) -> tuple[Path, Path]:
    """Train the network of a recipe for a scheme, and return its ONNX file and its card.

    A network that is there already is not trained again. A checkpoint ``<name>.npz`` is left in `folder`; a
    training that was interrupted goes on from it.

    Parameters
    ----------
    recipe
        What to train, everything replaced included.
    scheme
        b-values and directions.
    text
        The recipe as it is written, for the card.
    folder
        Where files go; made if it is not there.

    Raises
    ------
    UsageError
        If the scheme cannot determine the parameters.
    """
    require_shells(scheme)
    name = recipe.file_name(scheme)
    if (there := finished(folder, name)) is not None:
        LOGGER.info("trained before for this scheme and recipe: %s", there[0])
        return there
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.training.threads)
    torch.manual_seed(recipe.seed)
    simulated = simulate(recipe, scheme)
    labels = make_labels(recipe, scheme, simulated)
    prepared = _cpu_seconds()
    LOGGER.info("%s: %d signals in %.0f CPU-s", name, recipe.signals.count, prepared)
    examples = Examples(torch.from_numpy(simulated.signal), torch.from_numpy(labels.astype(np.float32)))
    data = examples.split(recipe.training.validation)
    network = perceptron(recipe.network, scheme.n_measurements)
    checkpointing = Checkpointing(folder / f"{name}.npz", f"{name} {recipe.digest()}")
    kept = train_epochs(network, data, recipe.training, recipe.seed, checkpointing)
    accuracy = held_out(kept.best, data[1], simulated.truth[-len(data[1].signal) :])
    accuracy |= {"loss": _digits(kept.best_loss.item()), "epoch": int(kept.best_epoch)}
    LOGGER.info("validation: %s", accuracy)
    card = scheme_card(recipe, scheme, text, count_weights(kept.best), accuracy)
    cost = {"cpu_seconds": round(_cpu_seconds()), "simulation_cpu_seconds": round(prepared)}
    assert isinstance(kept.best, nn.Sequential)
    return write_files(folder, to_onnx(kept.best, card), card, cost)


def require_shells(scheme: DiffusionProtocol) -> None:
    """Refuse a scheme that the parameters cannot be learnt from.

    Raises
    ------
    UsageError
        Naming what is missing.
    """
    weighted = ~scheme.b0_mask
    needed = f"images at b = 0, and {LEAST_DIRECTIONS} directions or more at two or more b-values above 0"
    if scheme.bvecs is None or np.count_nonzero(weighted) < LEAST_DIRECTIONS:
        raise UsageError(
            f"{np.count_nonzero(weighted)} weighted volumes or no directions", field="--scheme", needed=needed
        )
    if not np.any(scheme.b0_mask):
        raise UsageError(
            f"no b-value is {scheme.b0_threshold:g} s/mm^2 or less", field="--scheme", needed=needed
        )
    if np.ptp(scheme.bvals[weighted]) < 0.2 * scheme.bvals.max():
        raise UsageError(f"one shell, b = {scheme.bvals.max():g}", field="--scheme", needed=needed)


def finished(folder: Path, name: str) -> tuple[Path, Path] | None:
    """Return the files of a network if both are there and belong together."""
    weights, card = folder / f"{name}.onnx", folder / f"{name}.json"
    if not (weights.is_file() and card.is_file()):
        return None
    needed = json.loads(card.read_text(encoding="utf-8")).get("weights", {}).get("sha256")
    return (weights, card) if hashlib.sha256(weights.read_bytes()).hexdigest() == needed else None


def held_out(network: nn.Module, examples: Examples, truth: FloatArray) -> dict[str, Any]:
    """Return, by parameter, errors on signals that were not trained with.

    ``rmse_label`` is against what the network learns, ``rmse_truth`` against the truth, ``bias`` is the mean
    difference from the truth, and ``mse_over_prior`` compares with the mean of the truths.
    """
    estimate = answers(network, examples.signal).numpy().astype(np.float64)
    label = examples.label.numpy()
    table: dict[str, Any] = {}
    for k, name in enumerate(OUTPUTS):
        error = estimate[:, k] - truth[:, k]
        table[name] = {
            "rmse_label": _digits(np.sqrt(np.mean((estimate[:, k] - label[:, k]) ** 2))),
            "rmse_truth": _digits(np.sqrt(np.mean(error**2))),
            "bias": _digits(np.mean(error)),
            "mse_over_prior": _digits(np.mean(error**2) / np.var(truth[:, k])),
        }
    return table


def _digits(value: float | np.floating[Any]) -> float:
    return float(f"{float(value):.4g}")


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
