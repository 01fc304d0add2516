"""Inversion recovery of magnitudes: S = |A (1 - 2 e exp(-TI / T1))|. Times in s.

The amplitude A and the efficiency e take up pulses that invert less than all and repetition times that do not
let all recover, so that T1 depends on neither: the equation a + b exp(-TI / T1) of Barral et al. 2010,
doi:10.1002/mrm.22497. Magnitudes have lost the sign; whichever sign explains them best is meant.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.physics.dictionary import grid
from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.irt1.protocol import InversionProtocol
from bids_qmri.units import FloatArray

T1_POINTS = 64
"""T1 values of the first estimate."""
FAINT = 1e-12
"""Sum of squares of decays that have ended before the first inversion time: nothing is told of these."""


class InversionRecovery(Model):
    """One T1, with pulses and recovery of any efficiency."""

    name: ClassVar[str] = "irt1"
    protocol: ClassVar[type[Protocol]] = InversionProtocol
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "t1",
            "T1",
            "s",
            (0.01, 10.0),
            (0.2, 3.0),
            "Longitudinal relaxation time.",
            prior=(0.05, 5.0),
            logarithmic=True,
            nodes=64,
        ),
        Parameter(
            "efficiency",
            "Inversion efficiency",
            "1",
            (0.2, 1.5),
            (0.7, 1.05),
            "Half of what recovers over what is recovered in the end: 1 after a perfect inversion of all"
            " magnetisation, less where pulses or recovery are incomplete, 0.5 after saturation.",
            prior=(0.5, 1.2),
            nodes=8,
        ),
        Parameter("m0", "M0", "1", (0.0, np.inf), (0.5, 2.0), "Signal long after an inversion."),
    )
    amplitude: ClassVar[str | None] = "m0"
    main: ClassVar[tuple[str, ...]] = ("t1",)

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, InversionProtocol):
            return "no inversion times"
        count = np.unique(protocol.inversion_time).size
        return "" if count >= len(self.parameters) else f"{count} inversion times; 3 are needed"

    def mend(self, protocol: Protocol) -> str:
        if not isinstance(protocol, InversionProtocol) or not self.obstacle(protocol):
            return ""
        return "add the images of other inversion times, or correct InversionTime where two are alike"

    def signal(self, theta: FloatArray, protocol: InversionProtocol) -> FloatArray:
        return np.abs(self._signed(theta, protocol)[0])

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: InversionProtocol
    ) -> tuple[FloatArray, FloatArray]:
        t1, efficiency, m0 = theta
        signed, decay = self._signed(theta, protocol)
        by_efficiency = -2.0 * m0 * decay
        by_t1 = efficiency * by_efficiency * (protocol.inversion_time[:, None] / t1**2)
        sign = np.where(signed < 0.0, -1.0, 1.0)
        by_m0 = 1.0 - 2.0 * efficiency * decay
        return sign * signed, sign * np.stack([by_t1, by_efficiency, by_m0])

    def start(
        self, signal: FloatArray, protocol: InversionProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        order = np.argsort(protocol.inversion_time, kind="stable")
        times, measured = protocol.inversion_time[order], signal[order]
        smallest = np.argmin(measured, axis=0)
        best = np.empty((3, measured.shape[1]))
        least = np.full(measured.shape[1], np.inf)
        # The measurement nearest to the null is before it or behind it.
        for before in (0, 1):
            sign = np.where(np.arange(times.size)[:, None] < smallest + before, -1.0, 1.0)
            theta = recovered(sign * measured, times, (lower, upper))
            cost = np.sum((self.signal(theta, protocol) - signal) ** 2, axis=0)
            better = cost < least
            best[:, better], least[better] = theta[:, better], cost[better]
        return best

    @staticmethod
    def _signed(theta: FloatArray, protocol: InversionProtocol) -> tuple[FloatArray, FloatArray]:
        """Return the signal before its sign was lost, and the decay of what recovers."""
        t1, efficiency, m0 = theta
        decay = np.exp(-protocol.inversion_time[:, None] / t1)
        return m0 * (1.0 - 2.0 * efficiency * decay), decay


IRT1 = InversionRecovery()


def recovered(signal: FloatArray, times: FloatArray, limits: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Return T1, efficiency and amplitude, (3, V), of signals with their signs, (N, V).

    For every T1 the best amplitudes of what recovered and what recovers are known; of T1 alone a search is
    left (the reduced-dimension fit of Barral et al.).

    Parameters
    ----------
    signal, times
        Signals, and inversion times in s, (N,).
    limits
        Lower and upper ones, each (3,).
    """
    lower, upper = limits
    centred = signal - signal.mean(axis=0)
    t1 = grid(lower[0], upper[0], T1_POINTS, logarithmic=True)
    decay = np.exp(-times[:, None] / t1)
    decay -= decay.mean(axis=0)
    explained = (decay.T @ centred) ** 2 / (np.sum(decay**2, axis=0) + FAINT)[:, None]
    best, step = np.argmax(explained, axis=0), float(np.log(t1[1] / t1[0])) if t1.size > 1 else 0.0
    inner = np.clip(best, 1, max(t1.size - 2, 1))
    near = np.log(t1[np.minimum(inner, t1.size - 1)])
    if step:
        near = np.where(best == inner, _vertex(near, step, explained, inner), np.log(t1[best]))
        for closer in (step / 8, step / 64):
            rows = [_explained(np.exp(near + shift), centred, times) for shift in (-closer, 0.0, closer)]
            near = _vertex(near, closer, np.stack(rows), np.ones(near.size, dtype=np.intp))
    found = np.clip(np.exp(near), lower[0], upper[0])
    decay = np.exp(-times[:, None] / found)
    centre = decay.mean(axis=0)
    slope = np.sum((decay - centre) * centred, axis=0) / (np.sum((decay - centre) ** 2, axis=0) + FAINT)
    amplitude = signal.mean(axis=0) - slope * centre
    efficiency = -0.5 * slope / np.where(amplitude > 0, amplitude, np.inf)
    efficiency = np.clip(efficiency, lower[1], upper[1])
    shape = 1.0 - 2.0 * efficiency * decay
    amplitude = np.sum(shape * signal, axis=0) / (np.sum(shape**2, axis=0) + FAINT)
    # An amplitude of 0 would explain nothing, and no step leads away from it.
    least = 1e-3 * np.abs(signal).max(axis=0)
    return np.stack([found, efficiency, np.maximum(amplitude, least)])


def _vertex(centre: FloatArray, step: float, heights: FloatArray, row: npt.NDArray[np.intp]) -> FloatArray:
    """Return where a parabola through three heights about a row, a step apart, is highest, (V,)."""
    left, middle, right = (heights[row + shift, np.arange(row.size)] for shift in (-1, 0, 1))
    bend = left - 2.0 * middle + right
    shift = 0.5 * (left - right) / np.where(bend < 0, bend, -np.inf)
    return np.asarray(centre + step * np.clip(shift, -1.0, 1.0))


def _explained(t1: FloatArray, centred: FloatArray, times: FloatArray) -> FloatArray:
    """Return how much of centred signals, (N, V), decays with T1 explain, (V,)."""
    decay = np.exp(-times[:, None] / t1)
    decay -= decay.mean(axis=0)
    return np.asarray(np.sum(decay * centred, axis=0) ** 2 / (np.sum(decay**2, axis=0) + FAINT))
