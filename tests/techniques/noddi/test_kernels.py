"""Compiled fits of NODDI: sums and deviations against plain formulas, recovery, voxels by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from sphere import unit_vectors

from bids_qmri.estimators.classical.asymptotic import _inverse_of_free
from bids_qmri.estimators.classical.objective import LeastSquares, RicianLikelihood
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise, bessel_ratio, log_bessel_i0, rician_information
from bids_qmri.techniques.noddi.deviation_kernel import invert
from bids_qmri.techniques.noddi.each_voxel import _table, scan_of
from bids_qmri.techniques.noddi.encoding import align, encode
from bids_qmri.techniques.noddi.fit import NoddiLsq, NoddiMle
from bids_qmri.techniques.noddi.fit_kernel import evaluate, solve
from bids_qmri.techniques.noddi.model import NODDI, noddi_signal
from bids_qmri.techniques.noddi.signal_kernel import TERMS, rician_misfit

SHELLS = DiffusionProtocol(np.repeat([700.0, 2000.0], [24, 48]), unit_vectors(72, np.random.default_rng(1)))
JITTERED = DiffusionProtocol(
    SHELLS.bvals + np.random.default_rng(2).uniform(-10, 10, 72),
    SHELLS.bvecs,
    np.random.default_rng(3).integers(1, 4, 72),
)


@pytest.mark.parametrize("protocol", [SHELLS, JITTERED], ids=["shells", "all differ"])
@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_sums_are_those_of_model_and_objective(protocol: DiffusionProtocol, sigma: float) -> None:
    rng, voxels = np.random.default_rng(401), 30
    encoding = encode(protocol, NODDI.d_par, NODDI.d_iso)
    scan, aligned = scan_of(encoding), align(encoding, unit_vectors(voxels, rng).T)
    theta = rng.uniform([0, 0.01, 0, -1, -1], [1, 1, 1, 1, 1], (voxels, 5))
    signal = np.zeros((voxels, scan.rows.shape[1]))
    signal[:, :72] = rng.uniform(0.0, 1.0, (voxels, 72))
    predicted, jacobian = NODDI.signal_and_jacobian(theta.T, aligned)
    y, weights = signal[:, :72].T, encoding.weights[:, None]
    objective = RicianLikelihood(y, np.full(voxels, sigma), weights) if sigma else LeastSquares(y, weights)
    cost, score, curvature = objective.misfit(predicted)
    axes = np.ascontiguousarray(np.moveaxis(aligned.axes, 2, 0))
    work = np.zeros((2 * TERMS, signal.shape[1])), np.zeros((2, TERMS))
    for v in range(voxels):
        found = evaluate(
            theta[v], axes, signal, v, sigma**2, scan.rows, scan.sticks, scan.ends, _table(), *work
        )
        j = jacobian[:, :, v]
        information = (j * np.broadcast_to(curvature, predicted.shape)[:, v]) @ j.T
        scale = np.abs(score[:, v]) @ np.abs(j).T
        assert found[0] == pytest.approx(cost[v], rel=1e-5)
        np.testing.assert_allclose(found[1:6], j @ score[:, v], atol=1e-5 * scale.max())
        lower = information[np.tril_indices(5)]
        np.testing.assert_allclose(found[6:21], lower, atol=1e-4 * np.abs(lower).max())
        assert found[21] == pytest.approx(((y - predicted)[:, v] ** 2).sum())


def test_misfit_of_magnitudes_is_that_of_bessel_functions() -> None:
    y = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 60)])
    for m in (0.0, 0.3, 1.0, 5.0, 400.0):
        found = np.array([rician_misfit(value, m, 1.0, 1.0) for value in y])
        exact = m * m + y * y - 2.0 * log_bessel_i0(y * m)
        np.testing.assert_allclose(found[:, 0], exact, atol=3e-6, rtol=1e-9)
        error = found[:, 1] - (y * bessel_ratio(y * m) - m)
        assert np.abs(error / (1 + y)).max() < 2e-6
        np.testing.assert_allclose(found[:, 2], rician_information(np.array(m)), atol=5e-5)


def test_systems_are_solved_and_fixed_parameters_stay() -> None:
    rng = np.random.default_rng(402)
    root = rng.normal(size=(5, 5))
    curvature, gradient = root @ root.T + np.eye(5), rng.normal(size=5)
    x, work = np.empty(5), np.empty((3, 5, 5))
    solve(curvature, gradient, 0.0, np.ones(5), x, work)
    np.testing.assert_allclose(x, np.linalg.solve(curvature, gradient), rtol=1e-9)
    free = np.array([1.0, 0.0, 1.0, 1.0, 0.0])
    solve(curvature, gradient * free, 0.0, free, x, work)
    kept = np.flatnonzero(free)
    expected = np.linalg.solve(curvature[np.ix_(kept, kept)], gradient[kept])
    np.testing.assert_allclose(x[kept], expected, rtol=1e-9)
    np.testing.assert_array_equal(x[free == 0], 0.0)


def test_variances_are_the_diagonal_of_the_inverse() -> None:
    rng = np.random.default_rng(403)
    root = rng.normal(size=(5, 7)) * np.array([1e-3, 1.0, 10.0, 0.1, 5.0])[:, None]
    information, free = root @ root.T, np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    variance = np.empty(5)
    invert(information, free, variance)
    expected = np.diagonal(_inverse_of_free(information[..., None], free[:, None] > 0)[..., 0])
    np.testing.assert_allclose(variance[free > 0], expected[free > 0], rtol=1e-9)
    assert np.isnan(variance[2])
    information[3] = information[:, 3] = 0.0
    invert(information, free, variance)
    assert np.all(np.isnan(variance))


@pytest.mark.parametrize("estimator", [NoddiLsq(), NoddiMle()])
def test_a_voxel_is_the_same_in_any_company(estimator: NoddiLsq | NoddiMle) -> None:
    rng = np.random.default_rng(404)
    protocol = DiffusionProtocol(np.r_[np.zeros(9), SHELLS.bvals], np.r_[np.zeros((9, 3)), SHELLS.bvecs])
    theta = rng.uniform([0.3, 0.05, 0.0], [0.8, 0.6, 0.3], (60, 3)).T
    clean = noddi_signal(*theta, unit_vectors(60, rng), protocol)
    signal = add_rician_noise(clean, 1 / 25, rng).T
    whole = estimator.fit(NODDI, signal, protocol, sigma=1 / 25)
    for part in (slice(0, 1), slice(5, 60)):
        found = estimator.fit(NODDI, signal[part], protocol, sigma=1 / 25)
        for name, values in whole.maps.items():
            np.testing.assert_allclose(found.maps[name], values[part], atol=1e-6)
        np.testing.assert_array_equal(found.status, whole.status[part])
