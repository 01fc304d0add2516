"""The batched minimiser: against scipy, and invariant to everything that must not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares
from simulated import CASES, NOISE, draw, narrow

from bids_qmri.estimators.classical import lm
from bids_qmri.estimators.classical.objective import LeastSquares, RicianLikelihood
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray


def noisy(name: str, voxels: int, seed: int = 0) -> FloatArray:
    model, protocol = CASES[name]
    theta = draw(model, voxels, seed)
    sigma = NOISE[name] * theta[-1]
    return add_rician_noise(model.signal(theta, protocol), sigma, np.random.default_rng(seed))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("wide", [True, False])
def test_cost_is_never_above_that_of_scipy(name: str, wide: bool) -> None:
    model, protocol = CASES[name]
    signal = noisy(name, 40)
    lower, upper = model.limits(None if wide else narrow(model))
    minimum = lm.minimise(model, LeastSquares(signal), protocol, lower, upper)
    cost = np.sum((signal - model.signal(minimum.theta, protocol)) ** 2, axis=0)
    scale = np.where(np.isfinite(upper), upper - lower, 1.0)
    start = np.where(np.isfinite(upper), lower + 0.3 * scale, 1.0)
    for v in range(signal.shape[1]):
        peer = least_squares(
            lambda x, y=signal[:, v]: model.signal(x[:, None], protocol)[:, 0] - y,
            start,
            bounds=(lower, upper),
            x_scale=scale,
            ftol=1e-12,
        )
        assert cost[v] <= 2 * peer.cost * (1 + 1e-3) + 1e-15


@pytest.mark.parametrize("name", CASES)
def test_gradient_vanishes_or_points_out_of_the_box(name: str) -> None:
    model, protocol = CASES[name]
    signal = noisy(name, 500, seed=3)
    lower, upper = (x[:, None] for x in model.limits(narrow(model)))
    theta = lm.minimise(model, LeastSquares(signal), protocol, lower[:, 0], upper[:, 0]).theta
    prediction, jacobian = model.signal_and_jacobian(theta, protocol)
    downhill = np.einsum("pnv,nv->pv", jacobian, signal - prediction)
    norm = np.sqrt(np.sum(jacobian**2, axis=1) * np.sum((signal - prediction) ** 2, axis=0))
    held = ((theta <= lower) & (downhill <= 0)) | ((theta >= upper) & (downhill >= 0))
    assert np.all(np.abs(np.where(held, 0.0, downhill)) <= 1e-3 * norm)


@pytest.mark.parametrize("name", CASES)
def test_order_of_voxels_and_blocks_does_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, protocol = CASES[name]
    signal, limits = noisy(name, 400, seed=4), model.limits()
    whole = lm.minimise(model, LeastSquares(signal), protocol, *limits)
    order = np.random.default_rng(4).permutation(400)
    monkeypatch.setattr(lm, "BLOCK_VALUES", 1)
    parts = lm.minimise(model, LeastSquares(signal[:, order]), protocol, *limits)
    np.testing.assert_allclose(parts.theta, whole.theta[:, order], rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(parts.converged, whole.converged[order])


def test_order_of_measurements_does_not_matter() -> None:
    model, protocol = CASES["vfa"]
    signal, order = noisy("vfa", 200, seed=5), [2, 0, 3, 1]
    shuffled = replace(protocol, flip_angle=protocol.flip_angle[order])
    one = lm.minimise(model, LeastSquares(signal), protocol, *model.limits())
    other = lm.minimise(model, LeastSquares(signal[order]), shuffled, *model.limits())
    np.testing.assert_allclose(other.theta, one.theta, rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_every_voxel_converges(name: str) -> None:
    model, protocol = CASES[name]
    assert np.all(lm.minimise(model, LeastSquares(noisy(name, 3000)), protocol, *model.limits()).converged)


@pytest.mark.parametrize("name", CASES)
def test_rician_likelihood_tends_to_least_squares_without_noise(name: str) -> None:
    model, protocol = CASES[name]
    signal = model.signal(draw(model, 50), protocol)
    sigma = 1e-4 * signal.min(axis=0)
    likelihood = lm.minimise(model, RicianLikelihood(signal, sigma), protocol, *model.limits())
    squares = lm.minimise(model, LeastSquares(signal), protocol, *model.limits())
    np.testing.assert_allclose(likelihood.theta, squares.theta, rtol=1e-4)


def test_score_and_curvature_are_derivatives_of_the_cost() -> None:
    signal = np.array([[0.3, 1.0], [2.0, 5.0]])
    prediction = np.array([[0.5, 0.9], [1.8, 5.5]])
    weights = np.array([[1.0], [3.0]])
    for objective in (LeastSquares(signal, weights), RicianLikelihood(signal, np.array([1.0, 0.5]), weights)):
        _, score, _ = objective.misfit(prediction)
        for n in range(2):
            step = np.zeros_like(prediction)
            step[n] = 1e-5
            difference = objective.misfit(prediction + step)[0] - objective.misfit(prediction - step)[0]
            np.testing.assert_allclose(-2 * score[n], difference / 2e-5, rtol=1e-6)


def test_unbounded_parameters_other_than_the_amplitude_are_refused() -> None:
    model, protocol = CASES["vfa"]
    lower, upper = model.limits({"t1": (0.1, np.inf)})
    with pytest.raises(ValueError, match="not finite"):
        lm.minimise(model, LeastSquares(noisy("vfa", 2)), protocol, lower, upper)


@pytest.mark.parametrize("name", CASES)
def test_best_scale_leaves_nothing_to_gain(name: str) -> None:
    model, protocol = CASES[name]
    signal = noisy(name, 20)
    objective = LeastSquares(signal, np.arange(1.0, len(signal) + 1)[:, None])
    prediction = model.signal(draw(model, 20, seed=9), protocol)
    scale = objective.best_scale(prediction)
    least = objective.misfit(scale * prediction)[0]
    for other in (0.99, 1.01):
        assert np.all(objective.misfit(other * scale * prediction)[0] > least)


@pytest.mark.parametrize("name", CASES)
def test_likelihood_beats_the_truth(name: str) -> None:
    model, protocol = CASES[name]
    theta = draw(model, 500, seed=10)
    sigma = 3 * NOISE[name] * theta[-1]
    signal = add_rician_noise(model.signal(theta, protocol), sigma, np.random.default_rng(10))
    objective = RicianLikelihood(signal, sigma)
    minimum = lm.minimise(model, objective, protocol, *model.limits(narrow(model)))
    at_minimum = objective.misfit(model.signal(minimum.theta, protocol))[0]
    at_truth = objective.misfit(model.signal(theta, protocol))[0]
    assert np.all(minimum.converged)
    assert np.all(at_minimum <= at_truth + 1e-6 * sigma**2)


def test_nearly_parallel_parameters_are_still_told_apart() -> None:
    model, _ = CASES["vfa"]
    protocol = VfaProtocol(np.deg2rad([29, 30]), 0.004)
    theta = draw(model, 200)
    signal = model.signal(theta, protocol)
    minimum = lm.minimise(model, LeastSquares(signal), protocol, *model.limits())
    np.testing.assert_allclose(minimum.theta, theta, rtol=1e-6)
    assert np.all(minimum.converged)
