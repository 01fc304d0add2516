"""Moments of a posterior on a grid that all voxels share (`posterior.coarse_grid`). Source of kernels."""

from __future__ import annotations

from typing import Any

from bids_qmri.estimators.compiled.functions import exp, inline
from bids_qmri.estimators.compiled.lanes import any_lane, array, load, spread, store, where
from bids_qmri.estimators.compiled.layout import GRID_POSITION, LEAST_MASS, WIDTH

SIGNAL, ATOMS, OFFSET, QUANTITIES, MOMENTS, BEST, WORK, VOXELS, MEASUREMENTS, NODES, COUNT = (
    GRID_POSITION[name]
    for name in (
        *("signal", "atoms", "offset", "quantities", "moments", "best", "work"),
        *("voxels", "measurements", "nodes", "count"),
    )
)


def moments(given: Any) -> None:
    """Write the means of quantities over the posterior masses of nodes, relative to the greatest mass."""
    voxels, n, nodes, count = given[VOXELS], given[MEASUREMENTS], given[NODES], given[COUNT]
    signal, atoms = array(given, SIGNAL, n * voxels), array(given, ATOMS, nodes * n)
    offset, quantities = array(given, OFFSET, nodes), array(given, QUANTITIES, nodes * count)
    found, best = array(given, MOMENTS, count * voxels), array(given, BEST, voxels)
    work = array(given, WORK, WIDTH * (n + nodes + count + 2))
    for first in range(0, voxels, WIDTH):
        for m in range(n):
            for lane in range(WIDTH):
                work[m * WIDTH + lane] = signal[m * voxels + min(first + lane, voxels - 1)]
        _project(work, atoms, offset, n, nodes, n + nodes + count)
        _sum(work, quantities, n, nodes, count)
        for lane in range(min(WIDTH, voxels - first)):
            best[first + lane] = work[(n + nodes + count + 1) * WIDTH + lane]
            for i in range(count):
                found[i * voxels + first + lane] = work[(n + nodes + i) * WIDTH + lane]


@inline
def _project(work: Any, atoms: Any, offset: Any, n: int, nodes: int, found: int) -> None:
    """Write the logarithms of all masses, then the greatest and where it is."""
    greatest, place = spread(float("-inf")), spread(0.0)
    for a in range(nodes):
        total = spread(0.0)
        for m in range(n):
            total = total + load(work, m) * atoms[a * n + m]
        mass = total * total + offset[a]
        store(work, n + a, mass)
        greater = mass > greatest
        greatest, place = where(greater, mass, greatest), where(greater, spread(float(a)), place)
    store(work, found, greatest)
    store(work, found + 1, place)


@inline
def _sum(work: Any, quantities: Any, n: int, nodes: int, count: int) -> None:
    total = n + nodes
    greatest = load(work, total + count)
    for i in range(count):
        store(work, total + i, spread(0.0))
    for a in range(nodes):
        relative = load(work, n + a) - greatest
        counts = relative > LEAST_MASS
        if any_lane(counts):
            mass = where(counts, exp(relative), spread(0.0))
            for i in range(count):
                store(work, total + i, load(work, total + i) + mass * quantities[a * count + i])
