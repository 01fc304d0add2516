"""Shells: the groups that b-values form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.units import FloatArray

GAP_RELATIVE, GAP_ABSOLUTE = 0.05, 0.5
WIDEST_SHELL = 0.25

GRID = "the b-values lie on a grid rather than on shells"
"""What to say of b-values that form no shells."""


def cluster_shells(bvals: npt.ArrayLike) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Group b-values that were meant to be the same.

    Neighbours in sorted order belong together if they differ by at most 5 % (or 0.5 s/mm^2, so that the
    b-values 0, 1, 2, 5, 10 of perfusion protocols stay apart). Groups are shells only if each is narrower
    than a quarter of the gap to its neighbours; a grid of b-values fails this and has no shells.

    Parameters
    ----------
    bvals
        b-values in s/mm^2, (N,).

    Returns
    -------
    centres
        Mean b-value of each shell, increasing, (S,); empty if the b-values form no shells.
    index
        Shell of each measurement, (N,); -1 if there are none.
    """
    values = np.asarray(bvals, dtype=np.float64)
    if values.size == 0:
        return np.empty(0), np.empty(0, dtype=np.intp)
    unique = np.unique(values)
    gaps = np.diff(unique)
    new_group = gaps > np.maximum(GAP_ABSOLUTE, GAP_RELATIVE * unique[:-1])
    first = np.flatnonzero(np.r_[True, new_group])
    last = np.r_[first[1:] - 1, unique.size - 1]
    width = unique[last] - unique[first]
    separation = np.r_[np.inf, gaps[new_group], np.inf]
    if np.any(width > WIDEST_SHELL * np.minimum(separation[:-1], separation[1:])):
        return np.empty(0), np.full(values.size, -1, dtype=np.intp)
    index = np.searchsorted(unique[first], values, side="right") - 1
    centres = np.bincount(index, weights=values) / np.bincount(index)
    return centres, index
