"""Estimator ``phase``: the frequency by a weighted straight line through phases over echo times.

Weights are squared magnitudes, by which phases vary less. Phases are made continuous along echo time alone,
voxel by voxel; nothing is unwrapped in space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.base import Estimator, FitResult, Status
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.fieldmap.protocol import ComplexEchoes
from bids_qmri.units import FloatArray

TURN = 2.0 * np.pi

EQUAL = 0.01
"""Relative difference up to which two spacings of echoes count as one."""

NEAR = 1.5
"""Spacings over the shortest up to which the first estimate tells the phase of the next echo best."""

LARGEST = 300.0
"""Logarithm of amplitudes, of either sign, that late and close echoes of noise are held to."""


@dataclass(frozen=True)
class PhaseFit(Estimator):
    """The slope of phases; `sigma` tells the standard deviation alone.

    Voxels without signal in one of the echoes are UNUSABLE; phases alone have no standard deviations.
    """

    label = "phase"
    description = (
        "Straight line through phases over echo times, weighted by squared magnitudes, phases being made "
        "continuous along echo time from the smallest step between the closest echoes; standard deviations "
        "by error propagation from the noise of the magnitudes."
    )
    reference = "Robinson and Jovicich 2011, doi:10.1002/mrm.22879"
    own_limits = True

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        assert isinstance(protocol, ComplexEchoes)
        order = np.argsort(protocol.echo_time)
        times = protocol.echo_time[order]
        real, imaginary = np.split(np.asarray(signal, dtype=np.float64).T, 2)
        echo = (real + 1j * imaginary)[order]
        usable = np.all(np.isfinite(echo) & (echo != 0), axis=0)
        echo = np.where(usable, echo, 1.0)
        weights = np.abs(echo) ** 2
        phase = continuous(echo, times)
        intercept, slope, inverse = line(phase, times, weights)
        rest = phase - intercept - slope * times[:, None]
        residual = np.sqrt(np.sum(weights * rest**2, axis=0) / np.sum(weights, axis=0))
        log_s0, decay, _ = line(np.log(np.abs(echo)), times, weights)
        level = np.nan if noise is None else noise.spread(usable.size).scatter
        spread = {"b0": level * np.sqrt(inverse) / TURN} if protocol.weighted else {}
        maps = {
            "b0": slope / TURN,
            "s0": np.exp(np.clip(log_s0, -LARGEST, LARGEST)),
            "r2star": -decay,
            "phase": wrapped(intercept),
        }
        return FitResult(
            {name: np.where(usable, values, np.nan) for name, values in maps.items()},
            {name: np.where(usable, values, np.nan) for name, values in spread.items()},
            np.where(usable, residual, np.nan),
            np.where(usable, Status.OK, Status.UNUSABLE).astype(np.uint8),
        )


def wrapped(angle: FloatArray) -> FloatArray:
    """Return angles in rad from -pi to pi."""
    return np.asarray(angle - TURN * np.round(angle / TURN))


def line(values: FloatArray, times: FloatArray, weights: FloatArray) -> tuple[FloatArray, ...]:
    """Return intercept, slope, and variance of the slope, (V,) each, of weighted lines through values (N, V).

    The variance is that of values whose own is one over their weight.
    """
    total = np.sum(weights, axis=0)
    centre = times @ weights / total
    away = times[:, None] - centre
    width = np.sum(weights * away**2, axis=0)
    slope = np.sum(weights * away * values, axis=0) / width
    return np.sum(weights * values, axis=0) / total - slope * centre, slope, 1.0 / width


def continuous(echo: npt.NDArray[np.complex128], times: FloatArray) -> FloatArray:
    """Return phases in rad, (N, V), that do not jump from one echo to the next.

    Parameters
    ----------
    echo
        Complex signals, not 0, (N, V).
    times
        Echo times in s, increasing.

    Notes
    -----
    The closest echoes, all pairs of them weighted by their magnitudes, tell the slope by the smallest step
    between them: right if the frequency is below half of one over their spacing. From the first of these
    pairs on, the echo that is next in time on either side is put within half a turn of what is expected of
    it: by that slope, or after a longer gap by the line through all echoes so far.
    """
    phase, weights = np.angle(echo), np.abs(echo) ** 2
    gaps = np.diff(times)
    shortest = float(np.min(gaps))
    closest = np.flatnonzero(gaps <= (1.0 + EQUAL) * shortest)
    step = np.sum(echo[closest + 1] * np.conj(echo[closest]), axis=0)
    slope = np.angle(step) / float(np.mean(gaps[closest]))
    low = high = int(closest[0])
    while low > 0 or high < len(times) - 1:
        before = gaps[low - 1] if low > 0 else np.inf
        after = gaps[high] if high < len(times) - 1 else np.inf
        near, new = (high, high + 1) if after <= before else (low, low - 1)
        steep = slope
        if min(before, after) > NEAR * shortest and high > low:
            known = slice(low, high + 1)
            steep = line(phase[known], times[known], weights[known])[1]
        expected = phase[near] + steep * (times[new] - times[near])
        phase[new] = expected + wrapped(phase[new] - expected)
        low, high = min(low, new), max(high, new)
    return np.asarray(phase)
