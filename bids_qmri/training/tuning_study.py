"""Fine-tuning of the network of Kuppens et al. as they did it: normalised signals, equation 6 without truth.

The same functions as `tuning_features`, which `finetune` calls by the rows of a recipe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bids_qmri.estimators.networks.features import Float32Array
from bids_qmri.physics.protocol import IntArray, Protocol
from bids_qmri.training.loss import predicted
from bids_qmri.training.measured import MeasuredScan
from bids_qmri.training.physics_loss import Target, compared
from bids_qmri.training.pool import Pool, Rows
from bids_qmri.training.recipe import Recipe
from bids_qmri.training.spline import TEST_BATCH
from bids_qmri.training.start import Start
from bids_qmri.training.study import approximate_amplitude, measurements
from bids_qmri.units import FloatArray

CURVES = 500
"""Simulated curves in place of each group of curves of other networks."""

SEEDS = 20, 21
"""Added to the seed of a recipe: of simulations to tune with and to stop by, and of those to be judged by."""


@dataclass(frozen=True)
class StudyRows(Rows):
    """Normalised signals and measurements, (V, N), and what signals were divided by, (V, 1)."""

    signal: Float32Array
    measured: Float32Array
    scale: Float32Array


def least_measurements(recipe: Recipe) -> int:
    """Return how many measurements networks of a recipe read at least."""
    return int(recipe.protocol.lengths[0])


def read(recipe: Recipe, scan: MeasuredScan) -> tuple[StudyRows, IntArray]:
    """Return what a network reads of a scan, in increasing order, and which of its voxels can be read."""
    recipe.protocol.scales(scan.protocol)
    return _normalised(recipe, scan.signal, scan.protocol)


def _normalised(recipe: Recipe, signal: FloatArray, protocol: Protocol) -> tuple[StudyRows, IntArray]:
    measured = by_voxel(protocol, len(signal))
    order = np.argsort(by_voxel(protocol, 1)[0], kind="stable")
    signal, measured = signal[:, order], measured[:, order]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = approximate_amplitude(recipe.forward, recipe.protocol, signal, measured)
        normalised = signal / scale
    usable = np.flatnonzero(np.all(np.isfinite(normalised), axis=1))
    return StudyRows.of({"signal": normalised, "measured": measured, "scale": scale}).take(usable), usable


def by_voxel(protocol: Protocol, count: int) -> FloatArray:
    """Return the independent variable of a protocol in each of `count` voxels, (V, N)."""
    values = measurements(protocol)
    return np.broadcast_to(values, (count, values.size)) if values.ndim == 1 else values.T


def loss(
    recipe: Recipe, network: nn.Module, rows: Any, scan: MeasuredScan, kept: IntArray, target: Target
) -> Tensor:
    """Return the reconstruction term of equation 6 for what a network answers to `rows`."""
    answer = network(torch.from_numpy(rows.signal), torch.from_numpy(rows.measured), _last(recipe))
    some = compared(kept, scan.signal.shape[1], target)
    measured = torch.from_numpy(by_voxel(scan.protocol, len(scan.signal))[:, some].copy())
    signal = torch.from_numpy(scan.signal[:, some]) / torch.from_numpy(rows.scale)
    error: Tensor = (signal - predicted(recipe, torch.sigmoid(answer), measured)) ** 2
    return error.mean()


def _last(recipe: Recipe) -> int:
    return len(recipe.network.halved)


def simulated(recipe: Recipe, groups: int, held_out: int, processes: int) -> tuple[Pool, Pool, Pool]:
    """Return simulations to tune with, to stop by, and to be judged by."""
    data = replace(recipe.data, count=groups * CURVES, validation=held_out * CURVES)
    first, second = (replace(recipe, data=data, seed=recipe.seed + more) for more in SEEDS)
    tune, stop = data.pools(first)
    judge = replace(data, count=CURVES).pools(second)[1]
    return tune, stop, judge


def estimate(start: Start, scan: MeasuredScan) -> dict[str, FloatArray]:
    """Return maps (V,) of a network by parameter and derived quantity, NaN where signals are not usable."""
    return estimate_by(start.recipe, start.network, scan.signal, scan.protocol)


def estimate_by(
    recipe: Recipe, network: nn.Module, signal: FloatArray, protocol: Protocol
) -> dict[str, FloatArray]:
    """Return maps (V,) by parameter and derived quantity of signals (V, N), at the last tolerance.

    Raises
    ------
    InputError
        If the protocol is one that the network cannot know: several repetition times, another arterial input.
    """
    model, factors = recipe.forward, recipe.protocol.scales(protocol)
    rows, usable = _normalised(recipe, signal, protocol)
    inside = np.full((len(signal), len(model.parameters)), np.nan)
    parts = [np.empty((0, len(model.parameters)))]
    with torch.inference_mode():
        for part in rows.parts(TEST_BATCH):
            answer = network(torch.from_numpy(part.signal), torch.from_numpy(part.measured), _last(recipe))
            parts.append(torch.sigmoid(answer).double().numpy())
    inside[usable] = np.concatenate(parts)
    lower, upper = np.array(recipe.data.ranges(model)).T
    theta = (lower + inside * (upper - lower)).T
    for row, parameter in zip(theta, model.parameters, strict=True):
        if parameter.name == model.amplitude:
            row[usable] *= rows.scale[:, 0]
        row *= factors.get(parameter.name, 1.0)
    names = [p.name for p in (*model.parameters, *model.derived)]
    return dict(zip(names, np.concatenate([theta, model.derive(theta)[0]]), strict=True))
