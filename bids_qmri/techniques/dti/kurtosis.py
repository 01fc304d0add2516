"""Mean, axial and radial kurtosis and their derivatives, in the eigenframe of the diffusion tensor.

The apparent kurtosis along n is K(n) = w(n) / D(n)^2 with the quartic form w of the elements that the
logarithm of the signal is linear in (W MD^2 of Jensen et al. 2005). Its means over the sphere and over the
circle perpendicular to the first eigenvector need <n_i^2 n_j^2 n_k^2 / D^3> alone. Averages over azimuth are
derivatives of <log(a cos^2 + b sin^2)> = 2 log((sqrt(a) + sqrt(b)) / 2), which are regular where eigenvalues
coincide, unlike the elliptic integrals of Tabesh et al. 2011 (doi:10.1002/mrm.22655); the one integral left,
over the cosine of the polar angle, is a Gauss-Legendre sum. Voxels run first; called by `model`.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from bids_qmri.techniques.dti.symmetric import (
    PAIR_COUNT,
    PAIRS,
    pair_rotation,
    rotate_fourth,
    slope_by_elements,
)
from bids_qmri.units import FloatArray

NODES = 16
"""Polar angles of half a sphere: 1e-8 relative where the eigenvalues differ tenfold, 1e-3 hundredfold."""

_SIXTH = tuple((i, j, 3 - i - j) for i in range(3, -1, -1) for j in range(3 - i, -1, -1))
"""Powers of n_1^2, n_2^2, n_3^2 of the ten even moments of sixth order."""


def kurtosis_slopes(
    values: FloatArray, vectors: FloatArray, kurtosis: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean, axial and radial kurtosis with their derivatives.

    Parameters
    ----------
    values, vectors
        Eigenvalues in mm^2/s, largest first, (V, 3); eigenvectors as columns, (V, 3, 3).
    kurtosis
        Elements w of the logarithm of the signal in mm^4/s^2, (V, 15).

    Returns
    -------
    scalars
        MK, AK, RK without unit, (V, 3).
    by_tensor
        Derivatives by the elements of the diffusion tensor, (V, 3, 6); not finite where the first eigenvector
        is not defined.
    by_kurtosis
        Derivatives by the elements w, (V, 3, 15).
    """
    # In um^2/ms, so that third powers of eigenvalues are of order 1.
    eigenvalues = 1e3 * values
    rotation = pair_rotation(vectors)
    w = rotate_fourth(1e6 * kurtosis, rotation)
    parts = (_mean(eigenvalues, w), _axial(eigenvalues, w), _radial(eigenvalues, w))
    by_w = np.stack([part[0] for part in parts], axis=1)
    by_d = np.stack([part[1] for part in parts], axis=1)
    gaps = eigenvalues[:, :1] - eigenvalues[:, 1:]
    by_d[:, 1:, [1, 3]] = slopes_by_tilt(eigenvalues, w) / gaps[:, None]
    scalars = np.einsum("vfpq,vpq->vf", by_w, w)
    by_tensor = 1e3 * by_d @ rotation.transpose(0, 2, 1)
    return scalars, by_tensor, 1e6 * slope_by_elements(by_w, rotation)


def circle_moments(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return <c^6>, <c^4 s^2>, <c^2 s^4>, <s^6>, each over (a c^2 + b s^2)^3, over a circle, (4, ...)."""
    p, q = np.sqrt(a), np.sqrt(b)
    total = 8.0 * (p + q) ** 3
    return np.stack(
        [
            (8 * a + 9 * p * q + 3 * b) / (a * a * p * total),
            (3 * p + q) / (a * p * q * total),
            (3 * q + p) / (b * q * p * total),
            (8 * b + 9 * p * q + 3 * a) / (b * b * q * total),
        ]
    )


def sphere_moments(values: FloatArray) -> FloatArray:
    """Return the ten <n_1^2i n_2^2j n_3^2k / D^3>, i + j + k = 3, over the sphere, (V, 10)."""
    first, second, third = values.T[:, :, None]
    a = first * _Z2 + second * (1.0 - _Z2)
    b = first * _Z2 + third * (1.0 - _Z2)
    # (4, V, 4): moments of the circle, times z^2i (1 - z^2)^(3 - i), summed over z.
    table = circle_moments(a, b) @ _POLAR
    return np.asarray(table.transpose(1, 0, 2).reshape(len(values), 16) @ _FROM_CIRCLE)


def _mean(values: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the derivatives of MK by w, (V, 6, 6), and by the tensor in its frame, (V, 6)."""
    sixth = sphere_moments(values)
    # D(n) is the sum of the eigenvalues times n_k^2, so that sixth moments give those of fourth order.
    products = (sixth[:, :, None] * values[:, None, :]).reshape(-1, 30)
    fourth = (products @ _FOURTH_OF_SIXTH).reshape(-1, 6, 6)
    by_moment = (w.reshape(-1, 36) @ _TENSOR_OF_W).reshape(-1, 6, 10)
    return fourth, -2.0 * np.einsum("vsm,vm->vs", by_moment, sixth)


def slopes_by_tilt(values: FloatArray, w: FloatArray) -> FloatArray:
    """Return the first derivatives of AK and RK by the tilt of the first eigenvector, (V, 2, 2).

    Parameters
    ----------
    values
        Eigenvalues, (V, 3).
    w
        The quartic form as a matrix over pairs of indices in the eigenframe, (V, 6, 6).

    Returns
    -------
    slopes
        Of AK and RK, by tilts towards the second and the third eigenvector in radian.
    """
    c4, c2s2, s4 = _fourth_of_circle(values)
    slopes = np.empty((len(w), 2, 2))
    slopes[:, 0] = 4.0 * w[:, 0, [1, 3]] / values[:, :1] ** 2
    slopes[:, 1, 0] = -4.0 * (c4 * w[:, 2, 1] + 3.0 * c2s2 * w[:, 5, 1])
    slopes[:, 1, 1] = -4.0 * (3.0 * c2s2 * w[:, 2, 3] + s4 * w[:, 5, 3])
    return slopes


def slopes_by_turning(values: FloatArray, w: FloatArray) -> FloatArray:
    """Return the derivatives of AK and RK by squared tilts for the same D, (V, 2, 2): `slopes_by_tilt`."""
    c4, c2s2, s4 = _fourth_of_circle(values)
    w11, w22, w33, w23 = w[:, 0, 0], w[:, 2, 2], w[:, 5, 5], w[:, 2, 5]
    w12, w13 = w[:, 0, 2], w[:, 0, 5]
    slopes = np.empty((len(w), 2, 2))
    slopes[:, 0] = (6.0 * w[:, 0, [2, 5]] - 2.0 * w11[:, None]) / values[:, :1] ** 2
    slopes[:, 1, 0] = c4 * (6.0 * w12 - 2.0 * w22) + 6.0 * c2s2 * (w13 - w23)
    slopes[:, 1, 1] = s4 * (6.0 * w13 - 2.0 * w33) + 6.0 * c2s2 * (w12 - w23)
    return slopes


def _axial(values: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the derivatives of AK, but for the tilt of the first eigenvector."""
    by_w, by_d = np.zeros_like(w), np.zeros((len(w), 6))
    first = values[:, 0]
    by_w[:, 0, 0] = 1.0 / first**2
    by_d[:, 0] = -2.0 * w[:, 0, 0] / first**3
    return by_w, by_d


def _radial(values: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the derivatives of RK, but for the tilt of its circle with the first eigenvector."""
    second, third = values[:, 1], values[:, 2]
    c6, c4s2, c2s4, s6 = circle_moments(second, third)
    c4, c2s2, s4 = _fourth_of_circle(values)
    by_w, by_d = np.zeros_like(w), np.zeros((len(w), 6))
    by_w[:, 2, 2], by_w[:, 5, 5], by_w[:, 4, 4] = c4, s4, 4.0 * c2s2
    by_w[:, 2, 5] = by_w[:, 5, 2] = c2s2
    w22, w33, w23 = w[:, 2, 2], w[:, 5, 5], 6.0 * w[:, 2, 5]
    by_d[:, 2] = -2.0 * (w22 * c6 + w23 * c4s2 + w33 * c2s4)
    by_d[:, 5] = -2.0 * (w22 * c4s2 + w23 * c2s4 + w33 * s6)
    by_d[:, 4] = -16.0 * (w[:, 2, 4] * c4s2 + w[:, 5, 4] * c2s4)
    return by_w, by_d


def _fourth_of_circle(values: FloatArray) -> FloatArray:
    """Return <c^4>, <c^2 s^2>, <s^4>, each over D^2, over the circle of the last two eigenvectors, (3, V)."""
    second, third = values[:, 1], values[:, 2]
    sixth = circle_moments(second, third)
    return np.asarray(second * sixth[:3] + third * sixth[1:])


def _polar_rule() -> tuple[FloatArray, FloatArray]:
    """Return z^2 at the nodes, (K,), and weights times z^2i (1 - z^2)^(3 - i), (K, 4)."""
    nodes, weights = np.polynomial.legendre.leggauss(2 * NODES)
    z2, weight = nodes[NODES:] ** 2, weights[NODES:]
    return z2, np.stack([weight * z2**i * (1.0 - z2) ** (3 - i) for i in range(4)], axis=1)


def _from_circle() -> FloatArray:
    """Return the sums of circle moments that make moments of the sphere, (16, 10)."""
    binomial = ((1,), (1, 1), (1, 2, 1), (1, 3, 3, 1))
    table = np.zeros((4, 4, 10))
    for m, (i, _, k) in enumerate(_SIXTH):
        # <c^2j s^2k> with j + k < 3 is expanded by c^2 + s^2 = 1.
        for extra, times in enumerate(binomial[i]):
            table[k + extra, i, m] = times
    return table.reshape(16, 10)


def _powers(*pairs: tuple[int, int]) -> tuple[int, int, int] | None:
    """Return the powers of n_i^2 of a product of pairs; None if one is odd, where the mean is 0."""
    counts = np.bincount([index for pair in pairs for index in pair], minlength=3)
    return None if np.any(counts % 2) else tuple(int(n) // 2 for n in counts)  # type: ignore[return-value]


def _sixth_in_pairs() -> FloatArray:
    """Return which moment, times multiplicities, each triple of pairs stands for, (6, 6, 6, 10)."""
    table = np.zeros((6, 6, 6, 10))
    for p, q, s in product(range(6), repeat=3):
        powers = _powers(PAIRS[p], PAIRS[q], PAIRS[s])
        if powers is not None:
            table[p, q, s, _SIXTH.index(powers)] = PAIR_COUNT[p] * PAIR_COUNT[q] * PAIR_COUNT[s]
    return table


_Z2, _POLAR = _polar_rule()
_FROM_CIRCLE = _from_circle()
_SIXTH_IN_PAIRS = _sixth_in_pairs()
_TENSOR_OF_W = _SIXTH_IN_PAIRS.reshape(36, 60)
_FOURTH_OF_SIXTH = _SIXTH_IN_PAIRS[:, :, [0, 2, 5]].transpose(3, 2, 0, 1).reshape(30, 36)
