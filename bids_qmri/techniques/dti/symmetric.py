"""Symmetric tensors of second and fourth order: their distinct elements, their rotation. Voxels first.

Elements of second order stand as xx, xy, yy, xz, yz, zz; those of fourth order as in `ELEMENTS`. A tensor of
fourth order is also written as a matrix over pairs of indices, which rotates by two matrix products. Called
by `model` and `kurtosis`.
"""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np

from bids_qmri.units import FloatArray

PAIRS = ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))
"""Indices of the six elements of second order."""

PAIR_COUNT = np.array([1.0 if i == j else 2.0 for i, j in PAIRS])
"""How often each occurs in the full tensor."""

NAMES = [
    "xxxx",
    "yyyy",
    "zzzz",
    "xxxy",
    "xxxz",
    "xyyy",
    "yyyz",
    "xzzz",
    "yzzz",
    "xxyy",
    "xxzz",
    "yyzz",
    "xxyz",
    "xyyz",
    "xyzz",
]
"""The fifteen elements of fourth order."""

ELEMENTS = tuple(tuple("xyz".index(letter) for letter in name) for name in NAMES)

ELEMENT_COUNT = np.array([float(len(set(permutations(indices)))) for indices in ELEMENTS])
"""How often each occurs in the full tensor."""

BY_PAIRS = np.array([[ELEMENTS.index(tuple(sorted(p + q))) for q in PAIRS] for p in PAIRS])
"""Element of fourth order at each two pairs of indices, (6, 6)."""

_ROWS, _COLUMNS = np.array(PAIRS).T
_TO_ELEMENTS = np.eye(15)[BY_PAIRS.ravel()]


def monomials(directions: FloatArray, elements: tuple[tuple[int, ...], ...]) -> FloatArray:
    """Return the products of components of directions (N, 3) that each element belongs to, (N, E).

    Examples
    --------
    >>> monomials(np.array([[1.0, 2.0, 0.0]]), PAIRS)
    array([[1., 2., 4., 0., 0., 0.]])
    """
    return np.stack([np.prod(directions[:, list(indices)], axis=1) for indices in elements], axis=1)


def multiples(
    factor: FloatArray,
    directions: FloatArray,
    elements: tuple[tuple[int, ...], ...],
    counts: FloatArray,
    divisor: float = 1.0,
) -> FloatArray:
    """Return `factor`, (N,), times counts / divisor times `monomials` of directions (N, 3), (N, E).

    Multiplied as dipy does, so that no digit of a kurtosis near 0 differs: whole numbers and higher powers
    first, a fraction last.
    """
    columns = []
    for indices, count in zip(elements, counts, strict=True):
        whole = count % divisor == 0
        column = factor * (count / divisor if whole else count)
        for axis, power in Counter(indices).most_common():
            along = directions[:, axis]
            column = column * along * along if len(indices) == power == 2 else column * along**power
        columns.append(column if whole else column / divisor)
    return np.stack(columns, axis=1)


def full(elements: FloatArray) -> FloatArray:
    """Return matrices, (V, 3, 3), of their six elements, (V, 6)."""
    place = np.zeros((3, 3), dtype=np.intp)
    place[_ROWS, _COLUMNS] = place[_COLUMNS, _ROWS] = np.arange(6)
    return np.asarray(elements[:, place])


def elements_of(matrices: FloatArray) -> FloatArray:
    """Return the six elements, (V, 6), of symmetric matrices, (V, 3, 3)."""
    return np.asarray(matrices[:, _ROWS, _COLUMNS])


def eigensystem(elements: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return eigenvalues, largest first, (V, 3), and eigenvectors as columns, (V, 3, 3)."""
    finite = np.asarray(np.isfinite(elements).all(axis=1))
    values, vectors = np.linalg.eigh(full(np.where(finite[:, None], elements, 0.0)))
    values[~finite] = np.nan
    return values[:, ::-1], vectors[:, :, ::-1]


def pair_rotation(vectors: FloatArray) -> FloatArray:
    """Return the matrix R, (V, 6, 6), that takes elements into a frame of columns: x' = R^T x."""
    first, second = vectors[:, _ROWS], vectors[:, _COLUMNS]
    products = first[:, :, _ROWS] * second[:, :, _COLUMNS] + second[:, :, _ROWS] * first[:, :, _COLUMNS]
    return np.asarray(0.5 * PAIR_COUNT[:, None] * products)


def rotate_fourth(elements: FloatArray, rotation: FloatArray) -> FloatArray:
    """Return the matrix over pairs, (V, 6, 6), of fifteen elements, (V, 15), in another frame."""
    return np.asarray(rotation.transpose(0, 2, 1) @ elements[:, BY_PAIRS] @ rotation)


def slope_by_elements(slope: FloatArray, rotation: FloatArray) -> FloatArray:
    """Turn derivatives by the matrix over pairs, (V, F, 6, 6), into those by elements, (V, F, 15)."""
    turned = rotation[:, None] @ slope @ rotation.transpose(0, 2, 1)[:, None]
    return np.asarray(turned.reshape(*slope.shape[:2], 36) @ _TO_ELEMENTS)
