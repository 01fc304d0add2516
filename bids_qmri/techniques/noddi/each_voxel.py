"""The fit of NODDI by compiled kernels: protocols and voxels in the form that these take. Called by `fit`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from bids_qmri.techniques.noddi.encoding import Encoding, align
from bids_qmri.techniques.noddi.entries import describe, minimise
from bids_qmri.techniques.noddi.model import Noddi
from bids_qmri.techniques.noddi.watson import DEGREES, moment_table
from bids_qmri.units import FloatArray

LANES = 16
"""Measurements come in a multiple of this many, the last ones with a weight of 0: none are left over when a
processor computes several at a time."""

BLOCK_VOXELS = 4096
"""Voxels at a time."""


FEW_NEURITES, LESS, SHARP = 0.3, 0.6, 0.03
"""NDI below which a likelihood is climbed from more starts, the part of it that these have, and their ODI."""

TOP_SHELL = 0.9
"""Of the largest b-value: measurements from there on tell the direction of least signal."""


@dataclass(frozen=True, eq=False)
class Scan:
    """A protocol as kernels take it, N measurements with b > 0 in the order of b.

    Parameters
    ----------
    rows
        Gradients, weights, b d_par and signals of free water, (6, N) with N a multiple of `LANES`.
    sticks
        What takes moments to coefficients of every b-value, (B, 8, 8).
    ends
        Where the measurements of every b-value end, (B,).
    """

    rows: FloatArray
    sticks: FloatArray
    ends: npt.NDArray[np.intp]


def scan_of(encoding: Encoding) -> Scan:
    """Return an encoding as kernels take it."""
    count = len(encoding.order)
    rows = np.zeros((6, count + -count % LANES))
    rows[:3, :count], rows[3, :count] = encoding.gradients.T, encoding.weights
    sticks: list[FloatArray] = []
    ends: list[int] = []
    for group in encoding.groups:
        place, each = group.place, len(group.attenuation)
        rows[4, place], rows[5, place] = group.attenuation[:, 0], group.free_water[:, 0]
        sticks.append(np.moveaxis(group.sticks.reshape(DEGREES.size, each, DEGREES.size), 1, 0))
        ends += [place.stop] if each == 1 else range(place.start + 1, place.stop + 1)
    return Scan(rows, np.ascontiguousarray(np.concatenate(sticks)), np.array(ends))


@cache
def _table() -> FloatArray:
    """Return the cubics of Watson moments by interval, (I, 4, 8)."""
    return np.ascontiguousarray(np.moveaxis(moment_table(), 2, 0))


@dataclass(frozen=True, eq=False)
class Fitted:
    """Where V voxels ended.

    Parameters
    ----------
    theta
        Parameters, (P, V), tilts at 0.
    direction
        Unit vectors, (3, V).
    converged
        (V,).
    sd
        Standard deviations, (P, V); NaN where a parameter lies at a limit or cannot be told.
    residual
        Root mean square of differences, (V,).
    """

    theta: FloatArray
    direction: FloatArray
    converged: npt.NDArray[np.bool_]
    sd: FloatArray
    residual: FloatArray


def fit_each(
    model: Noddi,
    signal: FloatArray,
    encoding: Encoding,
    direction: FloatArray,
    limits: tuple[FloatArray, FloatArray],
    floor: FloatArray | None,
    scatter: FloatArray | None,
) -> Fitted:
    """Fit signals over S0, every voxel by itself.

    Parameters
    ----------
    model
        Holds the diffusivities.
    signal
        (N, V), in the order of `encoding`.
    encoding
        The protocol.
    direction
        First estimates, (3, V).
    limits
        Lower and upper ones, each (P,).
    floor
        Noise of magnitudes, (V,), for the Rician likelihood; None for least squares.
    scatter
        Of measurements, (V,), for standard deviations; None takes it from the residuals.
    """
    scan, both = scan_of(encoding), np.array(limits)
    played = scan.rows, scan.sticks, scan.ends, _table()
    count, n_voxels = signal.shape
    variance = np.zeros(n_voxels) if floor is None else floor**2
    told = np.zeros(n_voxels) if scatter is None else scatter
    theta, axes = np.empty((n_voxels, len(both[0]))), np.empty((n_voxels, 3, 3))
    converged, sd, residual = np.empty(n_voxels, dtype=np.bool_), np.empty_like(theta), np.empty(n_voxels)
    for first in range(0, n_voxels, BLOCK_VOXELS):
        part = slice(first, first + BLOCK_VOXELS)
        aligned = align(encoding, direction[:, part])
        start = model.start(signal[:, part], aligned, *limits).T
        rows = np.zeros((len(start), scan.rows.shape[1]))
        rows[:, :count] = signal[:, part].T
        found = _minimise(start, aligned.axes, rows, variance[part], both, scan)
        if floor is not None:
            found = _again(found, rows, variance[part], both, encoding, scan)
        theta[part], axes[part], converged[part], _ = found
        voxels = theta[part], axes[part], rows, variance[part], told[part]
        describe(*voxels, both, *played, sd[part], residual[part])
    return Fitted(theta.T, axes[:, 0].T, converged, sd.T, residual)


Minima = tuple[FloatArray, FloatArray, npt.NDArray[np.bool_], FloatArray]
"""Parameters (V, P), frames (V, 3, 3), converged (V,) and cost (V,)."""


def _minimise(
    start: FloatArray,
    axes: FloatArray,
    rows: FloatArray,
    variance: FloatArray,
    limits: FloatArray,
    scan: Scan,
) -> Minima:
    """Minimise the misfit from first estimates, (V, P), in frames (3, 3, V)."""
    theta, frames = np.array(start, order="C"), np.array(np.moveaxis(axes, 2, 0), order="C")
    converged, cost = np.empty(len(theta), dtype=np.bool_), np.empty(len(theta))
    minimise(
        theta, frames, rows, variance, limits, scan.rows, scan.sticks, scan.ends, _table(), converged, cost
    )
    return theta, frames, converged, cost


def _again(
    found: Minima, rows: FloatArray, variance: FloatArray, limits: FloatArray, encoding: Encoding, scan: Scan
) -> Minima:
    """Minimise the likelihood of voxels with few neurites from other starts, and keep what is better.

    Where the noise floor hides the signal, few sticks along the direction of least signal may explain the
    images as well as many in the direction that the forms of the shells tell.
    """
    few = np.flatnonzero(found[0][:, 0] < FEW_NEURITES)
    if few.size == 0:
        return found
    top = np.flatnonzero(scan.rows[4] >= TOP_SHELL * scan.rows[4].max())
    least = scan.rows[:3, top[np.argmin(rows[np.ix_(few, top)], axis=1)]]
    sharp = found[0][few] * [LESS, 0.0, 1.0, *[0.0] * (len(limits[0]) - 3)]
    sharp[:, 1] = SHARP
    for direction in (least, found[1][few, 0].T):
        other = _minimise(sharp, align(encoding, direction).axes, rows[few], variance[few], limits, scan)
        better = other[3] < found[3][few]
        for kept, new in zip(found, other, strict=True):
            kept[few[better]] = new[better]
    return found
