"""Inverses of small matrices against LAPACK."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.estimators.classical.invert import invert


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("voxels", [0, 1, 50])
def test_inverse_and_determinant_are_those_of_lapack(count: int, voxels: int) -> None:
    root = np.random.default_rng(count).normal(size=(voxels, count, count + 2))
    matrix = root @ np.swapaxes(root, 1, 2)
    # What stands above the diagonal is not read.
    inverse, determinant = invert(np.tril(matrix).transpose(1, 2, 0))
    np.testing.assert_allclose(inverse.transpose(2, 0, 1), np.linalg.inv(matrix), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(determinant, np.linalg.det(matrix), rtol=1e-10)


def test_singular_matrices_have_no_determinant_and_leave_the_others_alone() -> None:
    matrix = np.stack([np.ones((2, 2)), 2.0 * np.eye(2)], axis=-1)
    with np.errstate(all="ignore"):
        inverse, determinant = invert(matrix)
    assert determinant.tolist() == [0.0, 4.0]
    np.testing.assert_array_equal(inverse[:, :, 1], 0.5 * np.eye(2))
