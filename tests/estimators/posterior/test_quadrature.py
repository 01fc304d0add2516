from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import truncnorm

from bids_qmri.estimators.posterior.quadrature import expectations


def gaussian(centre: np.ndarray, precision: np.ndarray):
    """Return a log density of one voxel whose features are the coordinates and their squares."""

    def evaluate(points, voxels):
        x = points - centre.reshape(-1, *[1] * (points.ndim - 1))
        return -0.5 * np.einsum("i...,ij,j...->...", x, precision, x), lambda: np.concatenate(
            [points, points**2]
        )

    return evaluate


@pytest.mark.parametrize(
    ("centre", "sd"),
    [*((c, s) for c in (0.5, 0.02) for s in (1e-6, 1e-3, 0.1, 10.0)), (-0.1, 0.1), (-0.1, 10.0)],
)
def test_one_dimension_is_the_truncated_normal_distribution(centre, sd):
    exact = truncnorm((0 - centre) / sd, (1 - centre) / sd, centre, sd)
    means, power = expectations(gaussian(np.array([centre]), np.array([[sd**-2]])), 1, 1)
    assert power[0] == 1
    assert means[0, 0] == pytest.approx(exact.mean(), abs=1e-3 * exact.std())
    assert means[1, 0] - means[0, 0] ** 2 == pytest.approx(exact.var(), rel=0.01)


@pytest.mark.parametrize("correlation", [0.0, 0.9, -0.999])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_narrow_ridges_are_found(dimensions, correlation):
    sd = np.array([0.05, 0.01, 0.02])[:dimensions]
    matrix = np.eye(dimensions)
    matrix[0, 1] = matrix[1, 0] = correlation
    covariance = matrix * np.outer(sd, sd)
    centre = np.array([0.4, 0.5, 0.7])[:dimensions]
    means, power = expectations(gaussian(centre, np.linalg.inv(covariance)), dimensions, 1)
    first, second = np.split(means[:, 0], 2)
    assert power[0] == 1
    np.testing.assert_allclose(first, centre, atol=0.01 * sd.min())
    np.testing.assert_allclose(np.sqrt(second - first**2), sd, rtol=0.01)


def test_a_flat_density_gives_the_moments_of_the_box():
    means, _ = expectations(gaussian(np.full(3, 0.5), np.zeros((3, 3))), 3, 1)
    np.testing.assert_allclose(means[:, 0], [1 / 2] * 3 + [1 / 3] * 3, rtol=1e-6)


def test_no_free_parameter_leaves_the_features():
    means, power = expectations(lambda p, v: (np.zeros(2), lambda: np.array([[3.0, 4.0]])), 0, 2)
    np.testing.assert_array_equal(means, [[3.0, 4.0]])
    np.testing.assert_array_equal(power, 1)
