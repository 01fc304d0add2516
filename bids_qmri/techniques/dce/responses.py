"""Tissue responses of one scan over rate and delay, tabulated so that a node costs an interpolation.

The responses of `convolution` are exact but cost two microseconds a curve; a posterior needs a
hundred curves per voxel. Used by `estimators.posterior`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from bids_qmri.techniques.dce.convolution import K_OFFSET, response_table
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.units import FloatArray

LOG_STEP = 0.02
"""Aim for the step over log(kep + K_OFFSET): a response is then off by 1e-4 of itself at most."""

DELAY_STEP = 0.125
"""Aim for the step over the delay in s."""

MAX_RATES, MAX_DELAYS = 192, 129
"""Largest size: a table takes 20 to 60 MB for 100 to 300 frames."""

LANES = 8
"""Frames that a processor adds at a time: tables end in zeros up to a multiple, none is left over."""

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Responses:
    """Tabulated responses at N frames.

    Parameters
    ----------
    rates
        log(kep + K_OFFSET), evenly spaced, (K,).
    delays
        Delays in s, evenly spaced, (T,).
    tissue
        Response in mmol/L min, (K * T, N).
    plasma
        Delayed input in mmol/L, (T, N).
    """

    rates: FloatArray
    delays: FloatArray
    tissue: FloatArray
    plasma: FloatArray

    @cached_property
    def in_lanes(self) -> tuple[Float32Array, Float32Array]:
        """Tissue and plasma in single precision, with zeros for frames up to a multiple of `LANES`."""
        more = ((0, 0), (0, -self.plasma.shape[1] % LANES))
        tissue, plasma = (np.pad(table, more).astype(np.float32) for table in (self.tissue, self.plasma))
        return tissue, plasma

    def at(self, kep: FloatArray, delay: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return tissue response and plasma input, each (..., N), by bilinear interpolation.

        Parameters
        ----------
        kep
            Rates in 1/min within the table, any shape.
        delay
            Delays in s within the table, same shape.
        """
        k, right = _position(np.log(kep + K_OFFSET), self.rates)
        t, later = _position(delay, self.delays)
        row = k * self.delays.size + t
        up = self.delays.size if self.rates.size > 1 else 0
        on = 1 if self.delays.size > 1 else 0
        tissue = (1.0 - right) * (1.0 - later) * self.tissue[row]
        tissue += right * (1.0 - later) * self.tissue[row + up]
        if on:
            tissue += (1.0 - right) * later * self.tissue[row + on]
            tissue += right * later * self.tissue[row + up + on]
        plasma = self.plasma[t] + later * (self.plasma[t + on] - self.plasma[t])
        return tissue, plasma


@lru_cache(maxsize=4)
def tabulate(protocol: DceProtocol, kep: tuple[float, float], delay: tuple[float, float]) -> Responses:
    """Tabulate the responses of a scan between limits of rate (1/min) and delay (s); a few are kept."""
    first, last = np.log(np.array(kep) + K_OFFSET)
    rates = np.linspace(first, last, _count(last - first, LOG_STEP, MAX_RATES))
    delays = np.linspace(delay[0], delay[1], _count(delay[1] - delay[0], DELAY_STEP, MAX_DELAYS))
    table = response_table(protocol)
    # The logarithm and back may leave the limits by rounding.
    values = np.clip(np.exp(rates) - K_OFFSET, *kep)
    tissue = np.empty((rates.size, delays.size, protocol.n_measurements))
    for row, value in zip(tissue, values, strict=True):
        row[:] = table.evaluate(np.full(delays.size, value), delays).tissue.T
    plasma = table.evaluate(np.full(delays.size, values[0]), delays).plasma.T
    return Responses(rates, delays, tissue.reshape(-1, protocol.n_measurements), np.ascontiguousarray(plasma))


def _count(width: float, step: float, most: int) -> int:
    """Return the number of even points over a width, one if it is 0."""
    return min(int(np.ceil(width / step)) + 1, most) if width > 0 else 1


def _position(value: FloatArray, axis: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Return the point of an even axis below a value, and the fraction of the way to the next, (..., 1)."""
    if axis.size == 1:
        return np.zeros(value.shape, dtype=np.intp), np.zeros((*value.shape, 1))
    position = np.clip((value - axis[0]) * ((axis.size - 1) / (axis[-1] - axis[0])), 0.0, axis.size - 1.0)
    below = np.minimum(position.astype(np.intp), axis.size - 2)
    return below, (position - below)[..., None]
