"""Simulated curves of the study: Tables 1 to 3, equations 7 to 9."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bids_qmri.estimators.networks.condense import condense
from bids_qmri.physics.arterial_input import rata
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.training.curves import Group
from bids_qmri.training.kuppens import physics
from bids_qmri.training.kuppens.recipe import Acquisition, StudyRecipe
from bids_qmri.training.sampler import paper_ivim, paper_times, paper_vfa
from bids_qmri.training.simulate import simulate
from bids_qmri.units import FloatArray, degrees

LENGTHS = {"vfa": (3, 8), "ivim": (4, 10), "etofts": (15, 20)}
"""Smallest and largest number of measurements of Table 2."""

INPUT_STEP = 0.25
"""Seconds between the points of the arterial input of a fixed protocol."""


@dataclass(frozen=True)
class Batch:
    """Curves of one length, float32.

    Parameters
    ----------
    measured
        Flip angles in degrees, b-values in s/mm^2 or times in s, ascending, (V, N), or (1, N) if shared.
    signal
        Normalised signals, (V, N).
    truth
        True parameters, 0 and 1 at the ends of their ranges, (V, M).
    """

    measured: Tensor
    signal: Tensor
    truth: Tensor

    def take(self, voxels: Tensor) -> Batch:
        """Return some curves."""
        shared = len(self.measured) == 1
        return Batch(
            self.measured if shared else self.measured[voxels], self.signal[voxels], self.truth[voxels]
        )


def approximate_amplitude(model_name: str, signal: FloatArray, measured: FloatArray) -> FloatArray:
    """Return what signals (V, N) are divided by, (V, 1): equation 9, the signal at b = 0, or 1."""
    if model_name == "vfa":
        return np.asarray(signal[:, :1] / np.sin(np.deg2rad(measured[:, :1])))
    return signal[:, :1] if model_name == "ivim" else np.ones_like(signal[:, :1])


def measurements(protocol: Any) -> FloatArray:
    """Return the independent variable of a protocol, (N,), in the units of `Batch`."""
    if isinstance(protocol, VfaProtocol):
        return degrees(protocol.flip_angle)
    return protocol.bvals if isinstance(protocol, DiffusionProtocol) else np.asarray(protocol.time)


def fixed_protocol(acquisition: Acquisition) -> VfaProtocol | DiffusionProtocol | DceProtocol:
    """Return the only protocol of an MLP; dynamic series with the input of the study (Rata et al.)."""
    if acquisition.flip_angle:
        return VfaProtocol(np.deg2rad(acquisition.flip_angle), np.array(acquisition.repetition_time))
    if acquisition.bvals:
        return DiffusionProtocol(np.array(acquisition.bvals))
    since = np.arange(0.0, acquisition.time[-1] + INPUT_STEP, INPUT_STEP)
    return DceProtocol(np.array(acquisition.time), since, rata(since))


def variable_curves(recipe: StudyRecipe, count: int, rng: np.random.Generator) -> dict[int, Batch]:
    """Simulate curves of protocols drawn from Table 2, equally many of every number of measurements."""
    first, last = LENGTHS[recipe.model]
    repeats = recipe.curves.per_protocol
    protocols = -(-count // (repeats * (last - first + 1)))
    found = {}
    for length in range(first, last + 1):
        drawn = [_table2(recipe, length, rng) for _ in range(protocols)]
        measured = np.repeat(np.stack(drawn), repeats, axis=0)
        theta, snr = draw_truth(recipe, len(measured), rng)
        clean = physics.signal(
            recipe.model,
            torch.from_numpy(theta.T),
            torch.from_numpy(measured),
            recipe.acquisition.repetition_time,
        ).numpy()
        found[length] = _batch(recipe, measured, _noisy(recipe.model, clean, snr, rng), theta)
    return found


def fixed_group(recipe: StudyRecipe, count: int, rng: np.random.Generator) -> Group:
    """Simulate curves of the only protocol."""
    theta, snr = draw_truth(recipe, count, rng)
    protocol = fixed_protocol(recipe.acquisition)
    signal, sigma = simulate(recipe.forward, theta, protocol, snr, rng)
    return Group(protocol, recipe.bounds, theta, signal, sigma, snr)


def fixed_batch(recipe: StudyRecipe, group: Group) -> Batch:
    """Return curves of the only protocol as the network reads them in the application: repeats averaged."""
    series = condense(group.signal.T, group.protocol)
    return _batch(recipe, measurements(series.protocol)[None], series.signal.T, group.theta)


def draw_truth(recipe: StudyRecipe, count: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw parameters (P, V) as in Table 1, with an amplitude of 1, and signal-to-noise ratios (V,)."""
    model = recipe.forward
    theta = np.ones((len(model.parameters), count))
    for row, parameter, limits in zip(theta, model.parameters, recipe.ranges, strict=True):
        if parameter.name != model.amplitude:
            row[:] = rng.uniform(*limits, count)
    return theta, rng.uniform(*recipe.curves.snr, count)


def _table2(recipe: StudyRecipe, length: int, rng: np.random.Generator) -> FloatArray:
    if recipe.model == "vfa":
        return measurements(paper_vfa(rng, recipe.acquisition.repetition_time, length))
    return measurements(paper_ivim(rng, length)) if recipe.model == "ivim" else paper_times(rng, length)


def _noisy(model_name: str, clean: FloatArray, snr: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Add the noise of equations 7 and 8 to signals (V, N) of amplitude 1."""
    if model_name == "etofts":
        sigma = clean.max(axis=1) / snr
        return np.asarray(clean + sigma[:, None] * rng.standard_normal(clean.shape))
    return add_rician_noise(clean, 1.0 / snr[:, None], rng)


def _batch(recipe: StudyRecipe, measured: FloatArray, signal: FloatArray, theta: FloatArray) -> Batch:
    scale = approximate_amplitude(recipe.model, signal, measured)
    limits = np.array(recipe.ranges)
    truth = theta.T.copy()
    if recipe.forward.amplitude is not None:
        truth[:, -1:] = np.clip(1.0 / scale, *recipe.curves.amplitude)
    truth = (truth - limits[:, 0]) / (limits[:, 1] - limits[:, 0])
    return Batch(_single(measured), _single(signal / scale), _single(truth))


def _single(array: npt.NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
