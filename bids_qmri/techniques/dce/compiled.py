"""What the kernels of tracer kinetics are told. Called by `estimators.compiled.call`."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bids_qmri.techniques.dce.convolution import K_MAX, ResponseTable, response_table, tabulated_rates
from bids_qmri.techniques.dce.model import TINY, start_grid
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.units import FloatArray

KERNELS = ("LeastSquares", "start")
"""Objectives with a minimiser, and `start`."""

SEGMENTS, CELLS, RATES, DEPTH, ORIGIN, CELL, HEAD = range(7)
"""First numbers that `kernels.evaluate` is told, of a `ResponseTable`: sizes, the most points in a cell,
where the cells begin, and their width; then come frames, first segments of cells, ends, begins, levels and
slopes of segments, and value and derivative in turn."""

COEFFICIENTS = 7
"""Of a rate and a delay that `kernels.start` tries: inner products of the curves, one over the determinant,
and one over those of either curve with itself; last the rate."""

START_HEAD = 6
"""First numbers that `kernels.start` is told: rates and delays, and the limits of ve and vp."""


def told(protocol: DceProtocol, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return what `kernels.evaluate` is told of a protocol.

    Raises
    ------
    ValueError
        If a rate within the limits lies outside the table.
    """
    if lower[0] < 0 or upper[0] > K_MAX:
        raise ValueError(f"kep must lie between 0 and {K_MAX:g} 1/min")
    return _told(response_table(protocol))


@lru_cache(maxsize=4)
def _told(table: ResponseTable) -> FloatArray:
    rates = tabulated_rates().size
    origin = table.points[0] - table.cell
    head = np.array([table.level.size, table.first.size, rates, table.depth, origin, table.cell])
    value = np.stack([table.value.real, table.value.imag], axis=-1).ravel()
    ends = np.append(table.points, np.inf)
    return np.concatenate(
        [head, table.frames, table.first, ends, table.start, table.level, table.slope, value]
    )


def told_start(protocol: DceProtocol, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, int]:
    """Return what `kernels.start` is told, and the rows of its work array."""
    rates, delays = start_grid(lower, upper)
    response = response_table(protocol).evaluate(np.repeat(rates, delays.size), np.tile(delays, rates.size))
    tissue = response.tissue
    plasma = np.broadcast_to(response.plasma, tissue.shape)
    rr, rp, pp = (
        np.einsum("nd,nd->d", x, y) for x, y in ((tissue, tissue), (tissue, plasma), (plasma, plasma))
    )
    determinant = rr * pp - rp**2
    inverse = np.divide(1.0, determinant, out=np.zeros_like(rr), where=determinant > 0)
    products = (rr, rp, pp, inverse, 1.0 / np.maximum(rr, TINY), 1.0 / np.maximum(pp, TINY))
    table = np.stack([*products, np.repeat(rates, delays.size)], axis=-1)
    n = protocol.n_measurements
    head = np.array([rates.size, delays.size, lower[1], upper[1], lower[2], upper[2]])
    curves = (plasma[:, : delays.size].T.ravel(), tissue.T.ravel())
    parts = (head, delays, *curves, table.ravel(), lower, upper, told(protocol, lower, upper))
    return np.concatenate(parts), 7 * n + 2 * delays.size + 4
