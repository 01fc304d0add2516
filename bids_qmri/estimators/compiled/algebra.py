"""Small dense systems of eight voxels at a time, in rows of a work array. Source of kernels."""

from __future__ import annotations

from typing import Any

from bids_qmri.estimators.classical.lm import LEVEL_DAMPING, SINGULAR
from bids_qmri.estimators.compiled.functions import inline
from bids_qmri.estimators.compiled.lanes import load, spread, store

TINY = 2.2250738585072014e-308


@inline
def inner_products(work: Any, signal: int, curves: Any, at: int, n: int, found: int) -> None:
    """Write the inner products of signals with a `GROUP` of curves, which share what is read of the signals.

    The n values of every curve follow one another, from an element of their array on; signals stand in n rows
    of the work array, and what is found in rows of it as well.
    """
    first, second, third, fourth = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
    for m in range(n):
        value, place = load(work, signal + m), at + m
        first = first + value * curves[place]
        second = second + value * curves[place + n]
        third = third + value * curves[place + 2 * n]
        fourth = fourth + value * curves[place + 3 * n]
    store(work, found, first)
    store(work, found + 1, second)
    store(work, found + 2, third)
    store(work, found + 3, fourth)


def make_solve(count: int) -> Any:
    """Return the solution of (H + damping) x = g as in `lm.solve`, for systems of `count` unknowns.

    Rows of the work array: H, the wanted x, what is free, and count^2 + count of scratch. The right-hand side
    stands in the rows of x, and is 0 where a parameter is not free.
    """

    @inline
    def solve(work: Any, curvature: int, x: int, free: int, scratch: int, damping: Any) -> None:
        pivots = scratch + count * count
        trace = spread(TINY)
        for i in range(count):
            trace = trace + load(work, curvature + i * count + i)
        level = (LEVEL_DAMPING * damping + SINGULAR) * trace
        for i in range(count):
            pivot = load(work, curvature + i * count + i) * (1.0 + damping) + level
            right = load(work, x + i)
            for j in range(i):
                both = load(work, free + i) * load(work, free + j)
                entry = load(work, curvature + i * count + j) * both
                for k in range(j):
                    # Above the diagonal L D, below it L.
                    entry = entry - load(work, scratch + i * count + k) * load(work, scratch + k * count + j)
                unit = entry * load(work, pivots + j)
                store(work, scratch + j * count + i, entry)
                store(work, scratch + i * count + j, unit)
                pivot = pivot - unit * entry
                right = right - unit * load(work, x + j)
            store(work, pivots + i, 1.0 / pivot)
            store(work, x + i, right)
        for last in range(count):
            i = count - 1 - last
            value = load(work, x + i) * load(work, pivots + i)
            for k in range(i + 1, count):
                value = value - load(work, scratch + k * count + i) * load(work, x + k)
            store(work, x + i, value)

    return solve
