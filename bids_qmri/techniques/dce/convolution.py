"""Exact convolution of a piecewise-linear arterial input with an exponential, for many voxels at once.

The tissue response R(k, s) = integral_{-inf}^{s} Cp(u) exp(-k (s - u)) du is known in closed form between two
points of the input once its value at the earlier point is known. Those values depend on k alone, so they are
tabulated once per protocol over log(k + K_OFFSET) together with their exact derivatives by k, and read by
cubic Hermite interpolation. Time runs in minutes here because rates are 1/min. Used by `model`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.units import SECONDS_PER_MINUTE, FloatArray

K_MAX = 100.0
"""Largest tabulated rate in 1/min; a time constant of 0.6 s is below any frame time of DCE."""

K_OFFSET = 0.02
"""Added to rates before the logarithm so that the table reaches k = 0, in 1/min."""

LOG_STEP = 0.02
"""Step of the table; the interpolation error grows with its fourth power (below 1e-8 here)."""

SERIES_LIMIT = 0.1
"""Below this exponent the moments come from a series: upward recursion would lose digits."""

MAX_CELLS = 2**14
"""Cells that locate a time, for inputs with points so close that even cells as close would be too many."""


def exponential_moments(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return exp(-z) and the moments integral_0^1 v^i exp(-z v) dv for i = 0, 1, 2.

    Parameters
    ----------
    z
        Exponents, 0 or above, any shape.

    Returns
    -------
    tuple of ndarray
        exp(-z), m0, m1, m2, each of the shape of `z`, accurate to rounding also for z -> 0.
    """
    decay = np.exp(-z)
    # sum_i (-z)^i / (i! (i + 3)), Horner from the ninth term
    minus = -np.minimum(z, SERIES_LIMIT)
    m2 = np.full_like(z, 1 / 11)
    for i in range(8, 0, -1):
        m2 *= minus
        m2 *= 1 / i
        m2 += 1 / (i + 2)
    m1 = 0.5 * (z * m2 + decay)
    m0 = z * m1 + decay
    large = z > SERIES_LIMIT
    if large.any():
        zl, el = z[large], decay[large]
        m0[large] = (1 - el) / zl
        m1[large] = (m0[large] - el) / zl
        m2[large] = (2 * m1[large] - el) / zl
    return decay, m0, m1, m2


@dataclass(frozen=True, eq=False)
class Response:
    """Input and tissue response at every frame of every voxel.

    Parameters
    ----------
    plasma, plasma_slope
        Shifted input Cp in mmol/L and its time derivative in mmol/L/min, (N, V) or (N, 1).
    tissue, tissue_by_kep
        R in mmol/L min and its derivative by k in mmol/L min^2, (N, V).
    """

    plasma: FloatArray
    plasma_slope: FloatArray
    tissue: FloatArray
    tissue_by_kep: FloatArray


@dataclass(frozen=True, eq=False)
class ResponseTable:
    """Responses at the points of one arterial input, tabulated over the rate.

    Segment 0 lies before the first point, segment M after the last one.

    Parameters
    ----------
    frames
        Frame times in min, (N,).
    points
        Times of the input in min, (M,).
    start, level, slope
        Begin of each segment in min, input there in mmol/L and its slope in mmol/L/min, each (M + 1,).
    cell, first
        Width in min of the even cells that locate a time, and the segment at the begin of every cell; the
        first cell ends at the first point.
    depth
        Largest number of points in a cell.
    value
        R at the begin of each segment over the K tabulated rates (real part), and its derivative per step of
        the table (imaginary part: both come with one access to memory), flattened from (M + 1, K).
    """

    frames: FloatArray
    points: FloatArray
    start: FloatArray
    level: FloatArray
    slope: FloatArray
    cell: float
    first: npt.NDArray[np.intp]
    depth: int
    value: npt.NDArray[np.complex128]

    def evaluate(self, kep: FloatArray, delay: FloatArray) -> Response:
        """Return the responses of V voxels.

        Parameters
        ----------
        kep
            Rates in 1/min, (V,), between 0 and `K_MAX`.
        delay
            Time in s by which the response lags behind the input, (V,).

        Raises
        ------
        ValueError
            If a rate lies outside the table.
        """
        if delay.size and np.all(delay == delay[0]):
            delay = delay[:1]
        times = self.frames[:, None] - delay / SECONDS_PER_MINUTE
        segment = self._segment(times)
        into = np.maximum(times - self.start[segment], 0.0)
        level, slope = self.level[segment], self.slope[segment]
        before, before_by_kep = self._interpolate(segment, kep)
        decay, m0, m1, m2 = exponential_moments(kep * into)
        rise = slope * into
        tissue = before * decay + into * (level * m0 + rise * (m0 - m1))
        by_kep = decay * (before_by_kep - into * before) - into**2 * (level * m1 + rise * (m1 - m2))
        return Response(level + rise, slope, tissue, by_kep)

    def _segment(self, times: FloatArray) -> npt.NDArray[np.intp]:
        """Return the segments of times; faster than a search among the points."""
        position = (times - (self.points[0] - self.cell)) / self.cell
        # fmax sends a time that is not a number to the first cell
        np.fmin(np.fmax(position, 0.0, out=position), self.first.size - 1, out=position)
        segment: npt.NDArray[np.intp] = self.first[position.astype(np.intp)]
        ends = np.append(self.points, np.inf)
        for _ in range(self.depth):
            segment += times >= ends[segment]
        return segment

    def _interpolate(self, segment: npt.NDArray[np.intp], kep: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Read R and dR/dk at the begin of segments, (N, V), by cubic Hermite interpolation over log k."""
        if np.any((kep < 0) | (kep > K_MAX)):
            raise ValueError(f"kep must lie between 0 and {K_MAX:g} 1/min")
        x = np.log1p(kep / K_OFFSET) / LOG_STEP
        # fmax sends a rate of NaN to the first node, and u carries the NaN on
        node = np.fmin(np.fmax(x, 0.0), tabulated_rates().size - 2).astype(np.intp)
        u = x - node
        left = segment * tabulated_rates().size + node
        lower = self.value.take(left)
        left += 1
        upper = self.value.take(left)
        d0 = lower.imag
        rise = upper.real - lower.real
        cubic = d0 + upper.imag - 2 * rise
        square = rise - d0 - cubic
        value = lower.real + u * (d0 + u * (square + u * cubic))
        by_u = d0 + u * (2 * square + 3 * u * cubic)
        return value, by_u / (LOG_STEP * (kep + K_OFFSET))


@lru_cache(maxsize=1)
def tabulated_rates() -> FloatArray:
    """Return the tabulated rates in 1/min, from 0 to at least `K_MAX`."""
    nodes = int(np.ceil(np.log1p(K_MAX / K_OFFSET) / LOG_STEP)) + 1
    return np.asarray(K_OFFSET * np.expm1(LOG_STEP * np.arange(nodes)))


@lru_cache(maxsize=4)
def response_table(protocol: DceProtocol) -> ResponseTable:
    """Tabulate the responses to the input of a protocol (kept for the last few protocols).

    Parameters
    ----------
    protocol
        Frame times and plasma input; frozen, so the object itself is the key of the cache.
    """
    points = protocol.aif_time / SECONDS_PER_MINUTE
    steps = np.diff(points)
    slope = np.concatenate([[0.0], np.diff(protocol.aif) / steps, [0.0]])
    level = np.concatenate([[0.0], protocol.aif])
    k = tabulated_rates()
    value = np.zeros((level.size, k.size))
    by_k = np.zeros_like(value)
    decay, m0, m1, m2 = exponential_moments(steps[:, None] * k)
    h, rise = steps[:, None], np.diff(protocol.aif)[:, None]
    gain = h * (level[1:-1, None] * m0 + rise * (m0 - m1))
    gain_by_k = -(h**2) * (level[1:-1, None] * m1 + rise * (m1 - m2))
    for j in range(1, level.size - 1):
        value[j + 1] = value[j] * decay[j - 1] + gain[j - 1]
        by_k[j + 1] = (by_k[j] - steps[j - 1] * value[j]) * decay[j - 1] + gain_by_k[j - 1]
    cell, first, depth = _cells(points)
    return ResponseTable(
        frames=protocol.time / SECONDS_PER_MINUTE,
        points=points,
        start=np.concatenate([points[:1], points]),
        level=level,
        slope=slope,
        cell=cell,
        first=first,
        depth=depth,
        value=(value + 1j * LOG_STEP * by_k * (k + K_OFFSET)).ravel(),
    )


def _cells(points: FloatArray) -> tuple[float, npt.NDArray[np.intp], int]:
    """Return width and first segments of the cells that locate a time, and the most points in a cell."""
    length = points[-1] - points[0]
    cell = max(float(np.diff(points).min()), length / MAX_CELLS)
    edges = points[0] + cell * np.arange(-1, int(np.ceil(length / cell)) + 3)
    # A point at an edge belongs to the later cell, whichever way the edge is rounded.
    inside = np.searchsorted(points, edges - 1e-9 * cell)
    return cell, inside[:-1], int(np.diff(inside).max())
