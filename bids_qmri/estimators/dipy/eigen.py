"""Eigenvalues and eigenvectors of symmetric 3 x 3 matrices, all voxels of a block at once.

The cubic equation in closed form (Smith 1961, doi:10.1145/355578.366316) and cross products, where these
have all the digits; LAPACK, which takes four times as long, where eigenvalues nearly coincide or are nearly
0. Called by `tensor_scalars`.
"""

from __future__ import annotations

import numpy as np

from bids_qmri.units import FloatArray

APART = 1e-4
"""Least distance of the cosine of the triple angle from 1 and -1, where two eigenvalues coincide."""

SMALLEST_SPREAD = 1e-2
"""Least spread of the eigenvalues, relative to their mean."""

SMALLEST_VALUE = 1e-3
"""Least eigenvalue, relative to the spread."""

_MATRIX = np.array([[0, 1, 3], [1, 2, 4], [3, 4, 5]])
"""Place of the elements of the matrix among the six, as dipy orders them."""


def eigensystem(elements: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return eigenvalues, largest first, (V, 3), and eigenvectors as columns, (V, 3, 3).

    Parameters
    ----------
    elements
        Finite elements xx, xy, yy, xz, yz, zz, (V, 6).
    """
    values, vectors = np.empty((len(elements), 3)), np.empty((len(elements), 3, 3))
    with np.errstate(all="ignore"):
        xx, xy, yy, xz, yz, zz = np.ascontiguousarray(elements.T)
        mean = (xx + yy + zz) / 3.0
        x, y, z = xx - mean, yy - mean, zz - mean
        spread = np.sqrt((x * x + y * y + z * z + 2.0 * (xy * xy + xz * xz + yz * yz)) / 6.0)
        determinant = x * (y * z - yz * yz) - xy * (xy * z - yz * xz) + xz * (xy * yz - y * xz)
        cosine = determinant / (2.0 * spread**3)
        angle = np.arccos(np.clip(cosine, -1.0, 1.0)) / 3.0
        first = 2.0 * spread * np.cos(angle)
        third = 2.0 * spread * np.cos(angle + 2.0 * np.pi / 3.0)
        values[:, 0], values[:, 1], values[:, 2] = mean + first, mean - first - third, mean + third
        one = _null_vector(x - first, y - first, z - first, xy, xz, yz)
        three = _null_vector(x - third, y - third, z - third, xy, xz, yz)
        vectors[:, :, 0], vectors[:, :, 2] = one.T, three.T
        vectors[:, :, 1] = _cross(three, one).T
        exact = (np.abs(cosine) < 1.0 - APART) & (spread > SMALLEST_SPREAD * mean)
        exact &= values[:, 2] > SMALLEST_VALUE * spread
    if not exact.all():
        hard = np.linalg.eigh(elements[~exact][:, _MATRIX])
        values[~exact], vectors[~exact] = hard[0][:, ::-1], hard[1][:, :, ::-1]
    return values, vectors


def _null_vector(
    x: FloatArray, y: FloatArray, z: FloatArray, xy: FloatArray, xz: FloatArray, yz: FloatArray
) -> FloatArray:
    """Return the unit vector, (3, V), that a singular matrix of rank 2 takes to 0."""
    # Columns of the adjugate; the one with the largest diagonal element has most of the digits.
    a, b, c = y * z - yz * yz, x * z - xz * xz, x * y - xy * xy
    ab, ac, bc = xz * yz - xy * z, xy * yz - xz * y, xy * xz - x * yz
    by_a = (np.abs(a) >= np.abs(b)) & (np.abs(a) >= np.abs(c))
    by_b = ~by_a & (np.abs(b) >= np.abs(c))
    found = np.stack(
        [
            np.where(by_a, a, np.where(by_b, ab, ac)),
            np.where(by_a, ab, np.where(by_b, b, bc)),
            np.where(by_a, ac, np.where(by_b, bc, c)),
        ]
    )
    return np.asarray(found / np.sqrt(np.einsum("kv,kv->v", found, found)))


def _cross(first: FloatArray, second: FloatArray) -> FloatArray:
    return np.stack(
        [
            first[1] * second[2] - first[2] * second[1],
            first[2] * second[0] - first[0] * second[2],
            first[0] * second[1] - first[1] * second[0],
        ]
    )
