"""Moments of a posterior on a grid that all voxels share (`posterior.coarse_grid`). Source of kernels."""

from __future__ import annotations

from typing import Any

from bids_qmri.estimators.compiled.algebra import inner_products
from bids_qmri.estimators.compiled.functions import exp, inline
from bids_qmri.estimators.compiled.lanes import any_lane, array, load, spread, store, where
from bids_qmri.estimators.compiled.layout import CHUNK, GRID_POSITION, GROUP, LEAST_MASS, WIDTH

SIGNAL, ATOMS, OFFSET, QUANTITIES, MOMENTS, BEST, WORK, VOXELS, MEASUREMENTS, NODES, COUNT = (
    GRID_POSITION[name]
    for name in (
        *("signal", "atoms", "offset", "quantities", "moments", "best", "work"),
        *("voxels", "measurements", "nodes", "count"),
    )
)


def moments(given: Any) -> None:
    """Write sums of quantities over the posterior masses of nodes, relative to the greatest mass."""
    voxels, n, nodes, count = given[VOXELS], given[MEASUREMENTS], given[NODES], given[COUNT]
    signal, atoms = array(given, SIGNAL), array(given, ATOMS)
    offset, quantities = array(given, OFFSET), array(given, QUANTITIES)
    found, best = array(given, MOMENTS), array(given, BEST)
    total = n + CHUNK
    work = array(given, WORK)
    for first in range(0, voxels, WIDTH):
        for m in range(n):
            for lane in range(WIDTH):
                work[m * WIDTH + lane] = signal[m * voxels + min(first + lane, voxels - 1)]
        for i in range(count):
            store(work, total + i, spread(0.0))
        store(work, total + count, spread(float("-inf")))
        store(work, total + count + 1, spread(0.0))
        for node in range(0, nodes, CHUNK):
            size = min(CHUNK, nodes - node)
            _project(work, atoms, offset, n, node, size, total + count)
            _sum(work, quantities, n, node, size, nodes, count)
        for lane in range(min(WIDTH, voxels - first)):
            best[first + lane] = work[(total + count + 1) * WIDTH + lane]
            for i in range(count):
                found[i * voxels + first + lane] = work[(total + i) * WIDTH + lane]


@inline
def _project(work: Any, atoms: Any, offset: Any, n: int, node: int, size: int, found: int) -> None:
    """Write the logarithms of some masses, and the greatest so far with its node; scale sums to it."""
    for group in range(size // GROUP):
        first = group * GROUP
        inner_products(work, 0, atoms, (node + first) * n, n, n + first)
    before, place = load(work, found), load(work, found + 1)
    greatest = before
    for a in range(size):
        product = load(work, n + a)
        mass = product * product + offset[node + a]
        store(work, n + a, mass)
        greater = mass > greatest
        greatest, place = where(greater, mass, greatest), where(greater, spread(float(node + a)), place)
    store(work, found, greatest)
    store(work, found + 1, place)
    if any_lane(greatest > before):
        share = exp(before - greatest)
        for row in range(n + CHUNK, found):
            store(work, row, load(work, row) * share)


@inline
def _sum(work: Any, quantities: Any, n: int, node: int, size: int, nodes: int, count: int) -> None:
    """Add quantities, which stand in groups of four, of some nodes."""
    total = n + CHUNK
    greatest, any_mass = load(work, total + count), False
    for a in range(size):
        relative = load(work, n + a) - greatest
        counts = relative > LEAST_MASS
        mass = spread(0.0)
        if any_lane(counts):
            mass, any_mass = where(counts, exp(relative), mass), True
        store(work, n + a, mass)
    if any_mass:
        for group in range(count // GROUP):
            at = total + GROUP * group
            first, second, third, fourth = (
                load(work, at),
                load(work, at + 1),
                load(work, at + 2),
                load(work, at + 3),
            )
            for a in range(size):
                mass, place = load(work, n + a), GROUP * (group * nodes + node + a)
                first = first + mass * quantities[place]
                second = second + mass * quantities[place + 1]
                third = third + mass * quantities[place + 2]
                fourth = fourth + mass * quantities[place + 3]
            store(work, at, first)
            store(work, at + 1, second)
            store(work, at + 2, third)
            store(work, at + 3, fourth)
