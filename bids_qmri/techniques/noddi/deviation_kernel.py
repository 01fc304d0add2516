"""Standard deviations and residuals of NODDI fits, compiled. Called by `each_voxel`.

The method is that of `estimators.classical.asymptotic`: the Cramer-Rao bound at the estimate, with the
parameters that lie at a limit held there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.compiled import kernel
from bids_qmri.techniques.noddi.fit_kernel import PARAMETERS, evaluate
from bids_qmri.techniques.noddi.signal_kernel import TERMS
from bids_qmri.units import FloatArray

IntArray = npt.NDArray[np.intp]

NEAR = 1e-6
"""Distance from a limit, in box widths, that counts as at the limit: `physics.limits.BOUND_TOLERANCE`."""

SINGULAR = 1e-12
"""Determinant of the correlation below which parameters cannot be told apart."""


@kernel
def describe(
    theta: FloatArray,
    axes: FloatArray,
    signal: FloatArray,
    variance: FloatArray,
    scatter: FloatArray,
    limits: FloatArray,
    scan: FloatArray,
    sticks: FloatArray,
    ends: IntArray,
    table: FloatArray,
    sd: FloatArray,
    residual: FloatArray,
) -> None:
    """Write standard deviations, (V, 5), and root mean squares of differences, (V,).

    Parameters
    ----------
    theta, axes, signal, variance, limits, scan, sticks, ends, table
        As of `fit_kernel.minimise`, at the minimum.
    scatter
        Of measurements, (V,); 0 takes it from the residuals.
    sd, residual
        What is written; NaN for a parameter at a limit, and where parameters cannot be told apart.
    """
    polynomials, moments = np.zeros((2 * TERMS, signal.shape[1])), np.empty((2, TERMS))
    information, free = np.empty((PARAMETERS, PARAMETERS)), np.empty(PARAMETERS)
    played = free_count = 0
    for n in range(scan.shape[1]):
        played += 1 if scan[3, n] > 0.0 else 0
    for i in range(PARAMETERS):
        free_count += 1 if limits[0, i] < limits[1, i] else 0
    for v in range(len(theta)):
        found = evaluate(
            theta[v], axes, signal, v, variance[v], scan, sticks, ends, table, polynomials, moments
        )
        residual[v] = np.sqrt(found[21] / played)
        noise = scatter[v]
        if noise == 0.0:
            noise = np.sqrt(found[0] / (played - free_count)) if played > free_count else np.nan
        for i in range(PARAMETERS):
            near = NEAR * (limits[1, i] - limits[0, i])
            inside = limits[0, i] + near < theta[v, i] < limits[1, i] - near
            free[i] = 1.0 if inside else 0.0
        k = 6
        for i in range(PARAMETERS):
            for j in range(i + 1):
                information[i, j] = found[k]
                information[j, i] = found[k]
                k += 1
        invert(information, free, sd[v])
        for i in range(PARAMETERS):
            sd[v, i] = np.sqrt(sd[v, i]) * noise if sd[v, i] > 0.0 else np.nan


@kernel
def invert(information: FloatArray, free: FloatArray, variance: FloatArray) -> None:
    """Write the diagonal of the inverse of the information of free parameters, NaN for others.

    All are NaN where the determinant of their correlation is as good as 0.
    """
    unit, pivots = np.zeros((PARAMETERS, PARAMETERS)), np.empty(PARAMETERS)
    inverse = np.zeros((PARAMETERS, PARAMETERS))
    determinant = 1.0
    for i in range(PARAMETERS):
        pivot = 1.0
        for j in range(i):
            scale = np.sqrt(information[i, i] * information[j, j])
            entry = information[i, j] / scale if free[i] * free[j] > 0.0 and scale > 0.0 else 0.0
            for k in range(j):
                entry -= unit[i, k] * unit[j, k] * pivots[k]
            unit[i, j] = entry / pivots[j]
            pivot -= unit[i, j] * entry
        pivots[i] = pivot if free[i] == 0.0 or information[i, i] > 0.0 else 0.0
        determinant *= pivots[i]
    for i in range(PARAMETERS):
        # Columns of the inverse of the unit triangle.
        inverse[i, i] = 1.0
        for j in range(i + 1, PARAMETERS):
            for k in range(i, j):
                inverse[j, i] -= unit[j, k] * inverse[k, i]
    for i in range(PARAMETERS):
        total = 0.0
        for k in range(i, PARAMETERS):
            total += inverse[k, i] * inverse[k, i] / pivots[k]
        told = free[i] > 0.0 and determinant > SINGULAR
        variance[i] = total / information[i, i] if told else np.nan
