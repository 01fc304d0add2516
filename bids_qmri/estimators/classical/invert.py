"""Inverses of small symmetric matrices of many voxels at once. Used by `asymptotic` and `map`."""

from __future__ import annotations

import numpy as np

from bids_qmri.units import FloatArray


def invert(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return inverses, (P, P, V), and determinants, (V,), of positive definite matrices, (P, P, V).

    By the decomposition L D L': operations on all voxels, several times as fast as one call of LAPACK for
    each. Of a singular matrix the determinant is about 0 and the inverse means nothing.

    Examples
    --------
    >>> inverse, determinant = invert(np.array([[[4.0], [2.0]], [[2.0], [2.0]]]))
    >>> inverse[:, :, 0].tolist(), determinant.tolist()
    ([[0.5, -0.5], [-0.5, 1.0]], [4.0])
    """
    count = len(matrix)
    scaled = np.empty_like(matrix)  # L D below the diagonal
    lower = np.empty_like(matrix)  # L^-1 below the diagonal
    pivots: list[FloatArray] = []
    determinant = np.ones(matrix.shape[2])
    for i in range(count):
        pivot = matrix[i, i].copy()
        unit: list[FloatArray] = []
        for j in range(i):
            entry = matrix[i, j].copy()
            for k in range(j):
                entry -= unit[k] * scaled[j, k]
            scaled[i, j] = entry
            unit.append(entry / pivots[j])
            pivot -= unit[j] * entry
        for j in range(i):
            entry = -unit[j]
            for k in range(j + 1, i):
                entry -= unit[k] * lower[k, j]
            lower[i, j] = entry
        pivots.append(pivot)
        determinant *= pivot
    inverse = np.empty_like(matrix)
    for k in range(count):
        inverse[k, k] = 1.0 / pivots[k]
        weighted = [lower[k, i] / pivots[k] for i in range(k)]
        for i in range(k):
            inverse[k, i] = weighted[i]
            for j in range(i + 1):
                inverse[i, j] += weighted[i] * lower[k, j]
    for i in range(count):
        inverse[:i, i] = inverse[i, :i]
    return inverse, determinant
