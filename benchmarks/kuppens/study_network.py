"""Estimates by the controlled differential equation of Kuppens et al., from weights on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bids_qmri.errors import InputError
from bids_qmri.physics.arterial_input import rata
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.training.recipe import Recipe, parse_recipe
from bids_qmri.training.spline import TEST_BATCH, StudyNcde
from bids_qmri.training.study import approximate_amplitude, measurements
from bids_qmri.units import FloatArray

SAME_INPUT = 0.02
"""Largest difference of an arterial input from that of the study, relative to its maximum."""

Estimate = Callable[[npt.ArrayLike, Any], dict[str, FloatArray]]
"""signal (V, N), protocol -> maps (V,) by parameter, in its unit; NaN for signals that cannot be divided by
their approximate amplitude."""


def load(folder: Path, name: str) -> Estimate:
    """Load a network that `bids_qmri-train` wrote.

    Parameters
    ----------
    folder
        Where it lies.
    name
        Of the recipe.

    Returns
    -------
    Callable
        ``estimate(signal, protocol)`` with signals of shape (V, N). T1 scales with the repetition time if
        that is not the one of training. Dynamic series need the arterial input of the study.

    Raises
    ------
    InputError
        If the weights are not those that the card describes.
    """
    card = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    file = folder / card["weights"]["file"]
    seen = hashlib.sha256(file.read_bytes()).hexdigest()
    if seen != card["weights"]["sha256"]:
        raise InputError(f"hash is {seen}", file=file, needed=card["weights"]["sha256"])
    recipe = parse_recipe(card["recipe"], card.get("set"))
    network = StudyNcde(recipe.network, len(recipe.forward.parameters))
    with np.load(file, allow_pickle=False) as arrays:
        network.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    network.eval()

    def estimate(signal: npt.ArrayLike, protocol: Any) -> dict[str, FloatArray]:
        return estimate_by(recipe, network, np.asarray(signal, dtype=np.float64), protocol)

    return estimate


def estimate_by(
    recipe: Recipe, network: StudyNcde, signal: FloatArray, protocol: Any
) -> dict[str, FloatArray]:
    """Return maps (V,) by parameter and derived quantity of signals (V, N).

    Raises
    ------
    InputError
        If the protocol is one that the network cannot know: several repetition times, another arterial input.
    """
    model, study, factors = recipe.forward, recipe.protocol, _scales(recipe, protocol)
    order = np.argsort(measurements(protocol), kind="stable")
    measured, data = measurements(protocol)[None, order], signal[:, order]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = approximate_amplitude(model, study, data, measured)
        normalised = data / scale
    usable = np.all(np.isfinite(normalised), axis=1)
    lower, upper = np.array(recipe.data.ranges(model)).T
    inside = np.full((len(data), lower.size), np.nan)
    inside[usable] = _follow(network, normalised[usable], measured)
    theta = (lower + inside * (upper - lower)).T
    for row, parameter in zip(theta, model.parameters, strict=True):
        row *= scale[:, 0] if parameter.name == model.amplitude else factors.get(parameter.name, 1.0)
    names = [p.name for p in (*model.parameters, *model.derived)]
    return dict(zip(names, np.concatenate([theta, model.derive(theta)[0]]), strict=True))


def _scales(recipe: Recipe, protocol: Any) -> dict[str, float]:
    """Return what estimates are multiplied by, by parameter, for a protocol that the network can know."""
    if isinstance(protocol, DceProtocol):
        known = rata(protocol.time)
        if np.max(np.abs(protocol.values()["aif"] - known)) > SAME_INPUT * known.max():
            raise InputError(
                "another arterial input than that of the training",
                needed="the input of Rata et al., arriving at 0 s",
            )
    if not isinstance(protocol, VfaProtocol):
        return {}
    if protocol.flip_angle.ndim == 2 or np.ptp(protocol.repetition_time) > 0:
        raise InputError(
            "flip angles of every voxel, or several repetition times",
            needed="one protocol with one repetition time",
        )
    # the signal depends on TR / T1 alone
    return {"t1": float(protocol.repetition_time[0]) / recipe.protocol.repetition_time}


def _follow(network: StudyNcde, signal: FloatArray, measured: FloatArray) -> FloatArray:
    """Return parameters within their ranges, (V, P), at the last tolerance of training."""
    points = torch.from_numpy(measured.astype(np.float32))
    parts = [np.empty((0, len(network.heads.weights[0])))]
    with torch.inference_mode():
        for first in range(0, len(signal), TEST_BATCH):
            chunk = torch.from_numpy(signal[first : first + TEST_BATCH].astype(np.float32))
            answer = network(chunk, points, len(network.options.halved))
            parts.append(torch.sigmoid(answer).double().numpy())
    return np.concatenate(parts)
