"""The fit of NODDI by compiled kernels: protocols and voxels in the form that these take. Called by `fit`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from bids_qmri.techniques.noddi.encoding import Encoding, align
from bids_qmri.techniques.noddi.model import Noddi
from bids_qmri.techniques.noddi.watson import DEGREES, moment_table
from bids_qmri.units import FloatArray

LANES = 16
"""Measurements come in a multiple of this many, the last ones with a weight of 0: none are left over from those
that a processor computes at a time."""

BLOCK_VOXELS = 4096
"""Voxels at a time."""


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
    sticks, ends = [], []
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
    # Loads the compiler.
    from bids_qmri.techniques.noddi.deviation_kernel import describe
    from bids_qmri.techniques.noddi.fit_kernel import minimise

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
        theta[part] = model.start(signal[:, part], aligned, *limits).T
        axes[part] = np.moveaxis(aligned.axes, 2, 0)
        rows = np.zeros((len(theta[part]), scan.rows.shape[1]))
        rows[:, :count] = signal[:, part].T
        minimise(theta[part], axes[part], rows, variance[part], both, *played, converged[part])
        describe(
            theta[part], axes[part], rows, variance[part], told[part], both, *played, sd[part], residual[part]
        )
    return Fitted(theta.T, axes[:, 0].T, converged, sd.T, residual)
