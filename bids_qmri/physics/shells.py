"""Shells: the groups that b-values form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.units import FloatArray

GAP_RELATIVE, GAP_ABSOLUTE = 0.05, 0.5
WIDEST_SHELL = 0.25

JITTER = 15.0
"""Scanners store b-values up to this many s/mm^2 away from the one that was asked for."""

LOWEST_JITTERED = 150.0
"""s/mm^2; below it, perfusion protocols hold b-values that are as close and still different."""

GRID = "the b-values lie on a grid rather than on shells"
"""What to say of b-values that form no shells."""


def shells_in_words(centres: npt.ArrayLike, fewest: int) -> str:
    """Return which shells of at least so many directions there are, of mean b-values in s/mm^2, (S,)."""
    found = np.round(np.asarray(centres, dtype=np.float64)).astype(int).tolist()
    if not found:
        return f"no shell of {fewest} or more directions"
    return f"shells of {fewest} or more directions at b = {found} s/mm^2"


def cluster_shells(bvals: npt.ArrayLike) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Group b-values that were meant to be the same.

    Neighbours in sorted order belong together if they differ by at most 5 % (or 0.5 s/mm^2, so that the
    b-values 0, 1, 2, 5, 10 of perfusion protocols stay apart), or lie far from all others and within the
    jitter of scanners. Groups are shells only if each is narrower than a quarter of the gap to its
    neighbours; a grid of b-values fails this and has no shells.

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

    Examples
    --------
    >>> cluster_shells([0, 285, 300, 315, 1000])[0].tolist()
    [0.0, 300.0, 1000.0]
    """
    values = np.asarray(bvals, dtype=np.float64)
    if values.size == 0:
        return np.empty(0), np.empty(0, dtype=np.intp)
    unique = np.unique(values)
    gaps = np.diff(unique)
    new_group = _join_jitter(unique, gaps > np.maximum(GAP_ABSOLUTE, GAP_RELATIVE * unique[:-1]))
    first, last = _ends(new_group)
    width = unique[last] - unique[first]
    if np.any(width > WIDEST_SHELL * _separation(gaps, new_group)):
        return np.empty(0), np.full(values.size, -1, dtype=np.intp)
    index = np.searchsorted(unique[first], values, side="right") - 1
    centres = np.bincount(index, weights=values) / np.bincount(index)
    return centres, index


def _join_jitter(unique: FloatArray, new_group: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Join neighbouring groups that only jitter sets apart: narrow together, and far from all others."""
    gaps = np.diff(unique)
    # Groups that jitter could bridge, found by the gaps that it cannot.
    far = (gaps > 2.0 * JITTER) | (unique[:-1] < LOWEST_JITTERED)
    first, last = _ends(far)
    narrow = unique[last] - unique[first] <= np.minimum(2.0 * JITTER, WIDEST_SHELL * _separation(gaps, far))
    joined = new_group.copy()
    for start, end in zip(first[narrow], last[narrow], strict=True):
        joined[start:end] = False
    return joined


def _ends(new_group: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the first and the last member of each group; `new_group` tells which gaps divide."""
    first = np.flatnonzero(np.r_[True, new_group])
    return first, np.r_[first[1:] - 1, new_group.size]


def _separation(gaps: FloatArray, new_group: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the distance of each group to the nearer of its neighbours."""
    between = np.r_[np.inf, gaps[new_group], np.inf]
    return np.asarray(np.minimum(between[:-1], between[1:]))
