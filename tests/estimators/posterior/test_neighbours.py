"""Densities that neighbours share are densities, coordinates are invertible, and neighbourhoods mutual."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad

from bids_qmri.estimators.posterior.neighbours import (
    Axes,
    Common,
    Summary,
    axes_of,
    draw_student,
    first_belief,
    log_box,
    log_prior,
    log_student,
    places_of,
    summarise,
    update,
)
from bids_qmri.techniques.ivim.model import IVIM

LOWER, UPPER = IVIM.limits({"d": (2e-4, 3e-3), "dstar": (0.005, 0.2), "f": (0.0, 0.7)})
AXES = axes_of(IVIM, (0, 1, 2), LOWER, UPPER)
COMMON = Common(np.array([0.5]), np.array([[1.5]]))


def one_dimensional(x: float) -> np.ndarray:
    return np.array([[[x]]])


@pytest.mark.parametrize("freedom", [None, np.array([3.0]), np.array([30.0])])
def test_student_densities_integrate_to_one(freedom: np.ndarray | None) -> None:
    mean, covariance = np.array([[0.7]]), np.array([[[2.0]]])

    def density(x: float) -> float:
        return float(np.exp(log_student(one_dimensional(x), mean, covariance, freedom))[0, 0])

    assert quad(density, -np.inf, np.inf)[0] == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("log_density", [COMMON.log_density, log_box])
def test_the_safety_density_and_the_box_integrate_to_one(log_density: Callable[..., np.ndarray]) -> None:
    def density(x: float) -> float:
        return float(np.exp(log_density(one_dimensional(x))).item())

    assert quad(density, -300, 300, limit=500)[0] == pytest.approx(1.0, rel=1e-3)


def test_the_prior_of_a_voxel_integrates_to_one() -> None:
    belief = first_belief(COMMON, 1)

    def density(x: float) -> float:
        return float(np.exp(log_prior(belief, COMMON, one_dimensional(x))[0]).item())

    assert quad(density, -300, 300, limit=500)[0] == pytest.approx(1.0, rel=1e-3)


def test_coordinates_lead_back_to_parameters() -> None:
    rng = np.random.default_rng(0)
    inside = rng.uniform(0.02, 0.98, (3, 5, 7))
    theta = LOWER[:3, None, None] + (UPPER - LOWER)[:3, None, None] * inside
    np.testing.assert_allclose(AXES.parameters(AXES.coordinates(theta)[0]), theta, rtol=1e-9)


def test_coordinates_reach_both_ends_of_the_limits() -> None:
    ends = AXES.parameters(np.array([-8.0, 8.0])[None, None] + np.zeros((3, 1, 1)))[:, 0]
    width = (UPPER - LOWER)[:3]
    assert np.all(np.abs(ends[:, 0] - LOWER[:3]) < 1e-2 * width)
    assert np.all(np.abs(ends[:, 1] - UPPER[:3]) < 1e-2 * width)


def test_the_slope_is_that_of_parameters_by_coordinates() -> None:
    x, step = np.array([-1.0, 0.3, 2.0]).reshape(3, 1, 1), 1e-5
    _, log_slope = AXES.coordinates(AXES.parameters(x))
    below, above = AXES.parameters(x - step), AXES.parameters(x + step)
    assert log_slope.item() == pytest.approx(np.log((above - below) / (2 * step)).sum(), rel=1e-6)


def test_evenly_spread_parameters_have_the_density_of_the_box() -> None:
    """On the linear scale: the density of coordinates is the slope over the width."""
    axes = Axes(np.array([0.0]), np.array([4.0]), np.array([False]))
    theta = np.linspace(0.2, 3.8, 9).reshape(1, 1, -1)
    x, log_slope = axes.coordinates(theta)
    np.testing.assert_allclose(log_box(x), log_slope - np.log(4.0))


def test_draws_have_mean_and_spread_of_their_density() -> None:
    mean = np.array([[0.5, -1.0], [0.0, 1.0]])
    covariance = np.stack([np.array([[0.4, 0.1], [0.1, 0.2]])] * 2, axis=2)
    x = draw_student(mean, covariance, 61)
    np.testing.assert_allclose(x.mean(axis=2), mean, atol=0.02)
    variance = covariance[:, :, 0] * 6.0 / (6.0 - 2.0)
    np.testing.assert_allclose(np.cov(x[:, 0]), variance, rtol=0.15, atol=0.02)


def test_who_is_a_neighbour_has_one_and_weights_fall_with_distance() -> None:
    voxels = np.flatnonzero(np.random.default_rng(1).random(8 * 7 * 5) < 0.6)
    places = places_of(voxels, (8, 7, 5), (1.0, 1.0, 2.0))
    weights = dict(places.offsets)
    for offset, weight in places.offsets:
        opposite = tuple(-step for step in offset)
        assert weights[opposite] == weight
        pairs = set(zip(*places.pairs(offset), strict=True))
        assert pairs == {(b, a) for a, b in zip(*places.pairs(opposite), strict=True)}
    assert weights[1, 0, 0] > weights[0, 0, 1] == weights[2, 0, 0] > weights[3, 0, 0]
    assert (0, 0, 0) not in weights
    assert (0, 0, 2) not in weights


def test_neighbours_are_those_of_the_image() -> None:
    shape = (6, 5, 4)
    voxels = np.arange(120)
    places = places_of(voxels, shape, (1.0, 1.0, 1.0))
    mine, theirs = places.pairs((0, 1, 0))
    x, y, z = np.unravel_index(voxels, shape, order="F")
    np.testing.assert_array_equal((x[theirs], y[theirs] - 1, z[theirs]), (x[mine], y[mine], z[mine]))
    assert mine.size == 6 * 4 * 4


def test_voxels_that_agree_narrow_each_others_prior_and_a_lonely_one_keeps_that_of_the_scan() -> None:
    voxels = np.append(np.arange(100), 399)
    places = places_of(voxels, (10, 10, 4), (1.0, 1.0, 1.0))
    common = Common(np.zeros(2), np.eye(2))
    belief = first_belief(common, voxels.size)
    known = Summary(
        np.full((2, voxels.size), 0.8), np.repeat(0.1 * np.eye(2)[:, :, None], voxels.size, axis=2)
    )
    after = update(belief, known, common, places, agree=True)
    assert np.all(after.mean[:, :100] > 0.6)
    assert np.all(np.einsum("ddv->dv", after.covariance)[:, :100] < 0.5)
    assert after.alone.tolist() == [False] * 100 + [True]
    np.testing.assert_array_equal(after.mean[:, 100], common.mean)
    np.testing.assert_array_equal(after.covariance[:, :, 100], common.covariance)


def test_those_who_contradict_count_little() -> None:
    shape = (12, 10, 1)
    voxels = np.arange(120)
    places = places_of(voxels, shape, (1.0, 1.0, 1.0))
    x = np.unravel_index(voxels, shape, order="F")[0]
    side = np.where(x < 6, -2.0, 2.0)[None]
    common = Common(np.zeros(1), 4.0 * np.eye(1))
    belief = first_belief(common, voxels.size)
    known = Summary(side, np.full((1, 1, voxels.size), 0.05))
    for _ in range(3):
        belief = update(belief, known, common, places, agree=True)
    edge = (x == 5) | (x == 6)
    assert np.all(np.abs(belief.mean - side)[0, edge] < 0.4)


def test_a_summary_is_mean_and_covariance_of_weighted_nodes() -> None:
    rng = np.random.default_rng(2)
    x, weight = rng.normal(size=(2, 3, 50)), rng.random((3, 50))
    weight /= weight.sum(axis=1, keepdims=True)
    found = summarise(x, weight)
    for voxel in range(3):
        exact = np.cov(x[:, voxel], aweights=weight[voxel], ddof=0)
        np.testing.assert_allclose(found.covariance[:, :, voxel], exact, atol=2e-4)
        np.testing.assert_allclose(found.mean[:, voxel], x[:, voxel] @ weight[voxel])
