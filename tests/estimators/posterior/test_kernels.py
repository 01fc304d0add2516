"""Compiled kernels of the posterior against plain formulas, and voxels that do not depend on one another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from bids_qmri.catalogue import get_model
from bids_qmri.estimators.posterior import importance
from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.estimators.posterior.entries import add_moments, integrate_amounts, integrate_amplitude
from bids_qmri.estimators.posterior.importance import Estimate, lattice
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.testing import simulate

LEGENDRE = np.polynomial.legendre.leggauss(12)
RULE = (LEGENDRE[0] + 1.0) / 2.0, np.log(LEGENDRE[1])
IVIM = DiffusionProtocol(np.array([0, 10, 20, 50, 100, 300, 600.0]))


@pytest.mark.parametrize("seed", [101, 102])
@pytest.mark.parametrize("snr", [3.0, 30.0, 300.0])
def test_amplitude_of_magnitudes_is_integrated(seed: int, snr: float) -> None:
    rng = np.random.default_rng(seed)
    voxels, nodes, count = 7, 90, 5
    curves = rng.uniform(0.3, 1.0, (count, voxels, nodes))
    floor, images = rng.uniform(0.8, 1.2, voxels) / snr, rng.uniform(0.5, 1.0, voxels)
    signal, weights = rng.uniform(0.3, 1.0, (count, voxels)), np.array([1.0, 1.0, 2.0, 1.0, 3.0])
    found = np.empty((4, voxels * nodes))
    integrate_amplitude(
        curves.reshape(count, -1), signal, weights, (floor, images), (0.0, np.inf), RULE, 5.0, found
    )
    top, total, mean, square = found.reshape(4, voxels, nodes)
    amplitude = np.linspace(1e-3, 6.0, 20_001)
    for v, g in ((0, 0), (3, 41), (6, 89)):
        unit, y = curves[:, v, g, None] / floor[v], signal[:, v, None] / floor[v]
        z = amplitude * unit * y
        each = np.log(special.i0e(z)) + z - 0.5 * (amplitude * unit) ** 2
        log_density = images[v] * (weights[:, None] * each).sum(axis=0)
        density = np.exp(log_density - log_density.max())
        evidence = np.log(np.trapezoid(density, amplitude)) + log_density.max()
        # A whole interval of 2 in the rule: its weights add up to 2.
        assert top[v, g] + np.log(total[v, g] / 2.0) == pytest.approx(evidence, abs=2e-3)
        expected = np.average(amplitude, weights=density)
        sd = np.sqrt(np.average((amplitude - expected) ** 2, weights=density))
        assert mean[v, g] == pytest.approx(expected, abs=0.01 * sd)
        assert np.sqrt(square[v, g] - mean[v, g] ** 2) == pytest.approx(sd, rel=0.01)


@pytest.mark.parametrize("seed", [103, 104])
@pytest.mark.parametrize("bells", ["even", "bells"])
def test_amounts_of_concentrations_are_integrated(seed: int, bells: str) -> None:
    rng = np.random.default_rng(seed)
    limits = np.array([(0.01, 0.7), (0.0, 0.1)])
    e, p, noise = rng.uniform(0.5, 1.5, (9, 30)), rng.uniform(0.5, 3.0, (9, 30)), 0.1
    y = 0.3 * e + 0.03 * p + noise * rng.standard_normal((9, 30))
    pairs = (y, y), (y, e), (y, p), (e, e), (e, p), (p, p)
    products = np.stack([(a * b).sum(axis=0) for a, b in pairs]) / noise**2
    first, second = np.array([[1.0, 0.0, 0.0]]), np.empty((0, 3))
    if bells == "bells":
        first = np.array([[7.0, 0.2, 1 / 0.1**2], [0.5, 0.2, 1 / 0.4**2]])
        second = np.array([[30.0, 0.02, 1 / 0.01**2], [2.0, 0.02, 1 / 0.05**2]])
    found = np.empty_like(products)
    integrate_amounts(products, limits, RULE, 5.0, (first, second), found)
    ve, vp = np.meshgrid(*(np.linspace(*ends, 801) for ends in limits), indexing="ij")
    for g in (0, 13, 29):
        yy, ye, yp, ee, ep, pp = products[:, g]
        misfit = yy - 2 * ve * ye - 2 * vp * yp + ve * ve * ee + 2 * ve * vp * ep + vp * vp * pp
        density = np.exp(-0.5 * (misfit - misfit.min()))
        for bell, x in ((first, ve), (second, vp)):
            if len(bell):
                density = density * sum(a * np.exp(-0.5 * s * (x - c) ** 2) for a, c, s in bell)
        ends = np.ones(801)
        ends[[0, -1]] = 0.5
        mass = density * ends[:, None] * ends
        cell = np.prod(np.diff(limits, axis=1) / 800.0)
        evidence = np.log(mass.sum() * cell) - 0.5 * misfit.min()
        assert found[0, g] + np.log(found[1, g] / 2.0) == pytest.approx(evidence, abs=0.01)
        for k, x in ((2, ve), (4, vp)):
            mean = np.average(x, weights=mass)
            sd = np.sqrt(np.average((x - mean) ** 2, weights=mass))
            assert found[k, g] == pytest.approx(mean, abs=0.01 * sd)
            assert np.sqrt(found[k + 1, g] - found[k, g] ** 2) == pytest.approx(sd, rel=0.01)


def test_fixed_amounts_stay_where_they_are() -> None:
    products = np.array([[4.0], [3.0], [2.0], [5.0], [1.0], [4.0]])
    found = np.empty((6, 1))
    rule, bells = (np.array([0.5]), np.log([2.0])), (np.array([[1.0, 0.0, 0.0]]), np.empty((0, 3)))
    integrate_amounts(products, np.array([(0.2, 0.2), (0.1, 0.1)]), rule, 5.0, bells, found)
    np.testing.assert_allclose(found[2:, 0], [0.2, 0.04, 0.1, 0.01])


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_nodes_have_the_density_of_the_formula(dimensions: int) -> None:
    rng = np.random.default_rng(105)
    root = np.tril(rng.uniform(0.02, 0.3, (dimensions, dimensions)))
    estimate = Estimate(rng.uniform(0.1, 0.9, (dimensions, 1)), root[:, :, None])
    points = importance._draw(lattice(dimensions, 53), estimate)
    assert ((points >= 0) & (points <= 1)).all()
    found = importance._density(points, estimate)[0]
    expected = np.ones(53)
    scales = importance.WIDEN / importance.LOGISTIC_SD * np.diag(root)
    for d in range(dimensions):
        covariance = root @ root.T
        slopes = np.linalg.solve(covariance[:d, :d], covariance[:d, d])
        centre = estimate.mean[d, 0] + slopes @ (points[:d, 0] - estimate.mean[:d])
        centre = np.clip(centre, 0.0, 1.0)
        x = (points[d, 0] - centre) / scales[d]
        inside = special.expit((1.0 - centre) / scales[d]) - special.expit(-centre / scales[d])
        expected *= special.expit(x) * special.expit(-x) / (scales[d] * inside)
    np.testing.assert_allclose(found, expected, rtol=3e-6)


def test_moments_are_weighted_sums() -> None:
    rng = np.random.default_rng(106)
    weight, values = rng.uniform(size=(5, 101)), rng.normal(size=(3, 5, 101))
    found = np.zeros((2, 3, 5))
    add_moments(weight, values, found)
    np.testing.assert_allclose(found[0], np.einsum("vg,kvg->kv", weight, values), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found[1], np.einsum("vg,kvg->kv", weight, values**2), rtol=1e-12)


def test_a_voxel_is_the_same_in_any_company() -> None:
    signal, _, sigma = simulate("ivim", IVIM, voxels=300, snr=20, seed=107)
    model = get_model("ivim")
    bounds = {"d": (0.0, 4e-3), "dstar": (0.005, 0.2), "f": (0.0, 0.7)}
    whole = Bayes().fit(model, signal, IVIM, sigma=sigma, bounds=bounds)
    for part in (slice(0, 1), slice(7, 150), slice(150, 300)):
        found = Bayes().fit(model, signal[part], IVIM, sigma=sigma, bounds=bounds)
        for name, values in whole.maps.items():
            np.testing.assert_allclose(found.maps[name], values[part], rtol=1e-9)
            np.testing.assert_allclose(found.sd[name], whole.sd[name][part], rtol=1e-7)
