"""The trained controlled differential equation of the study on disk, and estimates by it, for comparison.

It is not exported: a network belongs to the solver that it was trained with, and an adaptive one lets the
result of a voxel depend, within the tolerance, on those computed with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bids_qmri.errors import InputError
from bids_qmri.physics.arterial_input import rata
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.training.kuppens.curves import approximate_amplitude, measurements
from bids_qmri.training.kuppens.networks import StudyNcde
from bids_qmri.training.kuppens.recipe import StudyRecipe, parse_study
from bids_qmri.units import FloatArray

CHUNK = 1024
"""Voxels that the solver follows at a time."""

SAME_INPUT = 0.02
"""Largest difference of an arterial input from that of the study, relative to its maximum."""

Estimate = Callable[[npt.ArrayLike, Any], dict[str, FloatArray]]
"""signal (V, N), protocol -> maps (V,) by parameter, in its unit; NaN for signals that cannot be divided by
their approximate amplitude."""


def write_weights(
    folder: Path, network: StudyNcde, card: Mapping[str, Any], cost: Mapping[str, Any]
) -> tuple[Path, Path]:
    """Write ``<name>-weights.npz`` and the card ``<name>.json``, and return both files."""
    weights = folder / f"{card['name']}-weights.npz"
    arrays = {name: value.numpy() for name, value in network.state_dict().items()}
    np.savez(weights, allow_pickle=False, **arrays)
    content = weights.read_bytes()
    stored = {"file": weights.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    described = folder / f"{card['name']}.json"
    full = {**card, "weights": stored, "cost": dict(cost)}
    described.write_text(json.dumps(full, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return weights, described


def load(folder: Path, name: str) -> Estimate:
    """Load a network that `bids_qmri-train` wrote.

    Parameters
    ----------
    folder
        Where it lies.
    name
        Of the recipe: ``kuppens2025-vfa``, ``kuppens2025-ivim`` or ``kuppens2025-dce``.

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
    recipe = parse_study(card["recipe"])
    assert recipe.ncde is not None
    network = StudyNcde(recipe.ncde, len(recipe.ranges))
    with np.load(file, allow_pickle=False) as arrays:
        network.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    network.eval()

    def estimate(signal: npt.ArrayLike, protocol: Any) -> dict[str, FloatArray]:
        return estimate_by(recipe, network, np.asarray(signal, dtype=np.float64), protocol)

    return estimate


def estimate_by(
    recipe: StudyRecipe, network: StudyNcde, signal: FloatArray, protocol: Any
) -> dict[str, FloatArray]:
    """Return maps (V,) by parameter and derived quantity of signals (V, N).

    Raises
    ------
    InputError
        If the protocol is one that the network cannot know: several repetition times, another arterial input.
    """
    _require_known(protocol)
    order = np.argsort(measurements(protocol), kind="stable")
    measured, data = measurements(protocol)[None, order], signal[:, order]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = approximate_amplitude(recipe.model, data, measured)
        normalised = data / scale
    usable = np.all(np.isfinite(normalised), axis=1)
    inside = np.full((len(data), len(recipe.ranges)), np.nan)
    inside[usable] = _follow(network, normalised[usable], measured)
    lower, upper = np.array(recipe.ranges).T
    theta = (lower + inside * (upper - lower)).T
    model = recipe.forward
    if model.amplitude is not None:
        theta[-1] *= scale[:, 0]
    if isinstance(protocol, VfaProtocol):
        # the signal depends on TR / T1 alone
        theta[0] *= protocol.repetition_time[0] / recipe.acquisition.repetition_time
    names = [p.name for p in (*model.parameters, *model.derived)]
    return dict(zip(names, np.concatenate([theta, model.derive(theta)[0]]), strict=True))


def _follow(network: StudyNcde, signal: FloatArray, measured: FloatArray) -> FloatArray:
    """Return parameters within their ranges, (V, M), at the last tolerance of training."""
    points = torch.from_numpy(measured.astype(np.float32))
    parts = [np.empty((0, len(network.heads.weights[0])))]
    with torch.inference_mode():
        for first in range(0, len(signal), CHUNK):
            chunk = torch.from_numpy(signal[first : first + CHUNK].astype(np.float32))
            answer = network(chunk, points, len(network.options.halved))
            parts.append(torch.sigmoid(answer).double().numpy())
    return np.concatenate(parts)


def _require_known(protocol: Any) -> None:
    if isinstance(protocol, VfaProtocol) and (
        protocol.flip_angle.ndim == 2 or np.ptp(protocol.repetition_time) > 0
    ):
        raise InputError(
            "flip angles of every voxel, or several repetition times",
            needed="one protocol with one repetition time",
        )
    if isinstance(protocol, DceProtocol):
        known = rata(protocol.time)
        seen = np.interp(protocol.time, protocol.aif_time, protocol.aif, left=0.0)
        if np.max(np.abs(seen - known)) > SAME_INPUT * known.max():
            raise InputError(
                "another arterial input than that of the training",
                needed="the input of Rata et al., arriving at 0 s",
            )
