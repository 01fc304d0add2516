"""Series as the networks see them: in increasing order, repeats averaged, at most 32 points.

Averaging is of magnitudes, as scanners do; how many images a point stands for stays known as its weight.
Called by `features`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

MAX_POINTS = 32
"""Longer series are binned: neighbours are averaged."""

IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Series:
    """M points of V voxels.

    Parameters
    ----------
    signal
        Shape (M, V).
    protocol
        Protocol of the points, without weights of its own.
    weights
        Images averaged into each point, shape (M,).
    """

    signal: FloatArray
    protocol: Protocol
    weights: FloatArray


def condense(signal: FloatArray, protocol: Protocol) -> Series:
    """Sort the measurements of a series, average repeats and bin what exceeds `MAX_POINTS`.

    Parameters
    ----------
    signal
        Measured signals, shape (N, V).
    protocol
        Of N measurements; says itself what repeats have in common (`Protocol.repeat_keys`).
    """
    average, condensed, weights = _plan(protocol)
    if average is None:
        return Series(signal, condensed, weights)
    merged = np.zeros((len(average), signal.shape[1]))
    # One row at a time: unlike a matrix product, this rounds the same for any number of voxels.
    for shares, row in zip(average.T, signal, strict=True):
        for group in np.flatnonzero(shares):
            merged[group] += shares[group] * row
    return Series(merged, condensed, weights)


@lru_cache(maxsize=4)
def _plan(protocol: Protocol) -> tuple[FloatArray | None, Protocol, FloatArray]:
    """Return the matrix that averages the measurements, or None, and protocol and weights of its rows."""
    keys = protocol.repeat_keys()
    groups = _binned(np.arange(protocol.n_measurements) if keys is None else _equal(keys), protocol)
    if np.array_equal(groups, np.arange(groups.size)):
        return None, protocol, protocol.weights
    total = np.asarray(np.bincount(groups, protocol.weights), dtype=np.float64)
    average = np.zeros((total.size, groups.size))
    average[groups, np.arange(groups.size)] = protocol.weights / total[groups]
    return average, protocol.averaged(average), total


def _equal(keys: FloatArray) -> IntArray:
    """Return for every measurement the rank of its keys, (D, N), the first key first."""
    return np.unique(keys, axis=1, return_inverse=True)[1].ravel()


def _binned(groups: IntArray, protocol: Protocol) -> IntArray:
    """Return groups, numbered from 0, merged with their neighbours until there are at most `MAX_POINTS`."""
    count = int(groups.max()) + 1
    if count <= MAX_POINTS:
        return groups
    stated = protocol.positions()
    position = np.arange(count, dtype=np.float64) if stated is None else stated
    best = np.zeros(count, dtype=np.intp)
    # Edges closer than measurements leave bins empty: as many edges as `MAX_POINTS` filled bins take.
    for bins in range(MAX_POINTS, 4 * count):
        edges = np.linspace(position[0], position[-1], bins + 1)[1:-1]
        filled, merged = np.unique(np.searchsorted(edges, position, side="right"), return_inverse=True)
        if filled.size > MAX_POINTS:
            break
        best = merged
    return np.asarray(best[groups])
