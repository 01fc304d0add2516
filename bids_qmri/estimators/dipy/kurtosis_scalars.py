"""Mean, axial and radial kurtosis with dipy's numbers, all voxels at once.

dipy has the analytical solutions of Tabesh et al. 2011 (doi:10.1002/mrm.22655): products of elements of the
kurtosis tensor in the eigenframe of the diffusion tensor with functions of the eigenvalues. These functions
are singular where eigenvalues coincide; within 2.5 % dipy takes the limit instead, which shows in the third
digit, and it ends Carlson's iterations (doi:10.1007/BF02198293) early. Both are followed here, because maps
should not depend on who computes them. dipy rotates one element at a time and takes 30 us a voxel, this takes
3 us. Called by `tensor_scalars`.
"""

from __future__ import annotations

import numpy as np

from bids_qmri.units import FloatArray

LEAST, LARGEST = -3.0 / 7.0, 10.0
"""Where dipy's fits clip kurtosis."""

POSITIVE = 2e-7
"""mm^2/s; kurtosis is 0 where an eigenvalue is not larger."""

SAME = 2.5e-2
"""Relative difference below which eigenvalues count as equal."""

RF_TOLERANCE, RD_TOLERANCE = 3e-4, 1e-4

_ROWS, _COLUMNS = (0, 0, 1, 0, 1, 2), (0, 1, 1, 2, 2, 2)
_OCCURS = np.array([1.0, 2.0, 1.0, 2.0, 2.0, 1.0])
_ELEMENTS = (
    *("0000", "1111", "2222", "0001", "0002", "0111", "1112", "0222", "1222"),
    *("0011", "0022", "1122", "0012", "0112", "0122"),
)
_BY_PAIRS = np.array(
    [
        [_ELEMENTS.index("".join(sorted(f"{i}{j}{k}{m}"))) for k, m in zip(_ROWS, _COLUMNS, strict=True)]
        for i, j in zip(_ROWS, _COLUMNS, strict=True)
    ]
)


def kurtosis_scalars(params: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return MK, AK and RK, each (V,), clipped to -3/7 ... 10.

    Parameters
    ----------
    params
        dipy's parameters: eigenvalues in mm^2/s, eigenvectors, elements of the kurtosis tensor, (V, 27).
    """
    measured, vectors = params[:, :3], params[:, 3:12].reshape(-1, 3, 3)
    positive = np.all(measured > POSITIVE, axis=1)
    values = np.where(positive[:, None], measured, 1.0).T
    squares = vectors[:, _ROWS] * vectors[:, _COLUMNS] * _OCCURS[:, None]
    # w[:, a, b] is the element W_aabb of the eigenframe.
    w = squares.transpose(0, 2, 1) @ params[:, 12:][:, _BY_PAIRS] @ squares
    with np.errstate(all="ignore"):
        mean = _mean(values, w)
        axial = w[:, 0, 0] * (values.mean(axis=0) / values[0]) ** 2
        radial = _radial(values, w)
    return tuple(np.clip(np.where(positive, k, 0.0), LEAST, LARGEST) for k in (mean, axial, radial))  # type: ignore[return-value]


def _mean(values: FloatArray, w: FloatArray) -> FloatArray:
    # The first of each triple is the one that the other two change places under.
    a = values
    b, c = values[[1, 0, 1]], values[[2, 2, 0]]
    own, others = _factors(a, b, c)
    return np.asarray(
        own[0] * w[:, 0, 0]
        + own[1] * w[:, 1, 1]
        + own[2] * w[:, 2, 2]
        + others[0] * w[:, 1, 2]
        + others[1] * w[:, 0, 2]
        + others[2] * w[:, 0, 1]
    )


def _factors(a: FloatArray, b: FloatArray, c: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return F1 and F2 of Tabesh et al. of the eigenvalues, each of their shape."""
    rf, rd = carlson_rf(a / b, a / c), carlson_rd(a / b, a / c)
    root, sum2 = np.sqrt(b * c), (a + b + c) ** 2
    f1 = sum2 / (18.0 * (a - b) * (a - c))
    f1 *= root / a * rf + (3.0 * a**2 - a * b - a * c - b * c) / (3.0 * a * root) * rd - 1.0
    f2 = sum2 / (3.0 * (b - c) ** 2)
    f2 *= (b + c) / root * rf + (2.0 * a - b - c) / (3.0 * root) * rd - 2.0
    like_b, like_c = np.abs(a - b) < a * SAME, np.abs(a - c) < a * SAME
    f1 = np.where(like_b, _axisymmetric(c, 0.5 * (a + b)) / 2.0, f1)
    f1 = np.where(like_c, _axisymmetric(b, 0.5 * (a + c)) / 2.0, f1)
    f1 = np.where(like_b & like_c, 0.2, f1)
    equal = np.abs(b - c) < b * SAME
    limit = np.where(np.abs(a - b) > b * SAME, _of_two(a, 0.5 * (b + c)), 0.4)
    return f1, np.where(equal, limit, f2)


def _axisymmetric(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return F2 where the last two eigenvalues are equal."""
    return np.where(np.abs(a - b) > b * SAME, _of_two(a, b), 0.4)


def _of_two(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return F2 of eigenvalues a, b, b that differ."""
    x = 1.0 - a / b
    root = np.sqrt(np.abs(x))
    alpha = np.where(x > 0, np.arctanh(root), np.arctan(root)) / root
    scale = (a + 2.0 * b) ** 2 / (24.0 * b**2 * (a - b) ** 2)
    return np.asarray(scale * (b * (a + 2.0 * b) + a * (a - 4.0 * b) * alpha))


def _radial(values: FloatArray, w: FloatArray) -> FloatArray:
    a, b, c = values
    sum2, root, gap2 = (a + b + c) ** 2, np.sqrt(b * c), (b - c) ** 2
    g2 = sum2 / (18.0 * b * gap2) * (2.0 * b + (c**2 - 3.0 * b * c) / root)
    g3 = sum2 / (18.0 * c * gap2) * (2.0 * c + (b**2 - 3.0 * b * c) / root)
    g23 = sum2 / (3.0 * gap2) * ((b + c) / root - 2.0)
    limit2, limit3 = (1.0 + 0.5 * a / b) ** 2 / 6.0, (1.0 + 0.5 * a / c) ** 2 / 6.0
    like_b, like_c = b - c < b * SAME, b - c < c * SAME
    g2, g23 = np.where(like_b, limit2, g2), np.where(like_b, 2.0 * limit2, g23)
    g3 = np.where(like_c, limit3, g3)
    return np.asarray(g2 * w[:, 1, 1] + g3 * w[:, 2, 2] + g23 * w[:, 1, 2])


def carlson_rf(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return Carlson's elliptic integral R_F(x, y, 1), to dipy's tolerance."""
    start = (x + y + 1.0) / 3.0
    reach = (3.0 * RF_TOLERANCE) ** (-1.0 / 6.0) * _farthest(start, x, y)
    xn, yn, mean, _, _ = _duplicate(x, y, start, reach)
    dx, dy = 1.0 - xn / mean, 1.0 - yn / mean
    dz = -dx - dy
    e2, e3 = dx * dy - dz * dz, dx * dy * dz
    return np.asarray((1.0 - e2 / 10.0 + e3 / 14.0 + e2**2 / 24.0 - 3.0 / 44.0 * e2 * e3) / np.sqrt(mean))


def carlson_rd(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return Carlson's elliptic integral R_D(x, y, 1), to dipy's tolerance."""
    start = (x + y + 3.0) / 5.0
    reach = (RD_TOLERANCE / 4.0) ** (-1.0 / 6.0) * _farthest(start, x, y)
    _, _, mean, power, total = _duplicate(x, y, start, reach)
    dx, dy = (start - x) * power / mean, (start - y) * power / mean
    dz = -(dx + dy) / 3.0
    xy, zz = dx * dy, dz * dz
    e2, e3, e4, e5 = xy - 6.0 * zz, (3.0 * xy - 8.0 * zz) * dz, 3.0 * (xy - zz) * zz, xy * zz * dz
    series = 1.0 - 3.0 / 14.0 * e2 + e3 / 6.0 + 9.0 / 88.0 * e2**2 - 3.0 / 22.0 * e4
    series += -9.0 / 52.0 * e2 * e3 + 3.0 / 26.0 * e5
    return np.asarray(power * series / (mean * np.sqrt(mean)) + 3.0 * total)


def _farthest(centre: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    apart = np.maximum(np.abs(centre - x), np.abs(centre - y))
    return np.asarray(np.maximum(apart, np.abs(centre - 1.0)))


def _duplicate(
    x: FloatArray, y: FloatArray, mean: FloatArray, reach: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Bring three arguments (the third is 1) together until the series holds.

    Returns
    -------
    x, y, mean
        The first two arguments and the mean of all, after n duplications; n differs between voxels.
    power
        4^-n.
    total
        Sum over duplications of 4^-m / (sqrt(z) (z + lambda)), the part of R_D outside the series.
    """
    z, power, total = np.ones_like(x), np.ones_like(x), np.zeros_like(x)
    going = power * reach > np.abs(mean)
    while np.any(going):
        rx, ry, rz = np.sqrt(x), np.sqrt(y), np.sqrt(z)
        shift = rx * (ry + rz) + ry * rz
        total = np.where(going, total + power / (rz * (z + shift)), total)
        x, y, z, mean = (np.where(going, 0.25 * (v + shift), v) for v in (x, y, z, mean))
        power = np.where(going, 0.25 * power, power)
        going &= power * reach > np.abs(mean)
    return x, y, mean, power, total
