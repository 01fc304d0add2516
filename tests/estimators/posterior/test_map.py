"""The maximum of the posterior: the prior where the data say nothing, least squares where they say all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dynamic import DCE_PROTOCOL, dynamic
from simulated import CASES, IVIM_PROTOCOL, VFA_PROTOCOL, draw, narrow

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Status
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.classical.mle import Mle
from bids_qmri.estimators.classical.objective import QuickRicianLikelihood, RicianLikelihood
from bids_qmri.estimators.posterior.map import Map, maximise
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import VoxelNoise, add_rician_noise
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS, TOFTS
from bids_qmri.units import FloatArray

PRIOR_SD = 12.0**-0.5
MODELS = sorted(CASES)


def magnitudes(name: str, snr: float, voxels: int = 400) -> tuple[FloatArray, FloatArray]:
    """Return true parameters, (P, V), with amplitude 1 and noisy magnitudes, (V, N)."""
    model, protocol = CASES[name]
    theta = draw(model, voxels)
    theta[-1] = 1.0
    noisy = add_rician_noise(model.signal(theta, protocol), 1 / snr, np.random.default_rng(1))
    return theta, noisy.T


def in_box(values: FloatArray, limits: tuple[float, float]) -> FloatArray:
    return np.asarray((values - limits[0]) / (limits[1] - limits[0]))


@pytest.mark.parametrize("name", MODELS)
def test_no_information_gives_the_prior(name: str) -> None:
    model, protocol = CASES[name]
    signal = np.random.default_rng(2).rayleigh(1.0, (50, protocol.n_measurements))
    result = Map().fit(model, signal, protocol, sigma=1e4, bounds=narrow(model))
    for parameter in model.parameters[:-1]:
        width = np.ptp(parameter.training)
        np.testing.assert_allclose(in_box(result.maps[parameter.name], parameter.training), 0.5, atol=1e-3)
        np.testing.assert_allclose(result.sd[parameter.name] / width, PRIOR_SD, rtol=1e-3)
    assert np.all(np.isin(result.status, (Status.OK, Status.UNDETERMINED)))


@pytest.mark.parametrize("name", MODELS)
def test_equals_least_squares_at_high_signal(name: str) -> None:
    model, protocol = CASES[name]
    _, signal = magnitudes(name, 20_000)
    ours = Map().fit(model, signal, protocol, sigma=1 / 20_000, bounds=narrow(model))
    theirs = Lsq().fit(model, signal, protocol, sigma=1 / 20_000, bounds=narrow(model))
    inside = (ours.status == Status.OK) & (theirs.status == Status.OK)
    assert inside.mean() > 0.9
    for parameter in model.parameters:
        difference = (ours.maps[parameter.name] - theirs.maps[parameter.name])[inside]
        assert np.median(np.abs(difference) / ours.sd[parameter.name][inside]) < 0.1


@pytest.mark.parametrize("name", MODELS)
def test_prior_lowers_the_error_within_its_box(name: str) -> None:
    model, protocol = CASES[name]
    snr = {"vfa": 100, "ivim": 10}[name]
    theta, signal = magnitudes(name, snr, 2000)
    ours = Map().fit(model, signal, protocol, sigma=1 / snr, bounds=narrow(model))
    theirs = Mle().fit(model, signal, protocol, sigma=1 / snr, bounds=narrow(model))
    for parameter, truth in zip(model.parameters[:-1], theta, strict=False):
        errors = [np.nanmean((result.maps[parameter.name] - truth) ** 2) for result in (ours, theirs)]
        assert errors[0] < errors[1]


def test_standard_deviation_is_of_the_posterior_where_the_prior_rules() -> None:
    model, protocol = CASES["ivim"]
    theta, signal = magnitudes("ivim", 20, 4000)
    result = Map().fit(model, signal, protocol, sigma=1 / 20, bounds=narrow(model))
    score = (result.maps["dstar"] - theta[1]) / result.sd["dstar"]
    assert 0.9 < score.std() < 1.1
    assert np.all(result.sd["dstar"] <= 1.001 * PRIOR_SD * 0.05)


def test_no_sigma_takes_that_of_the_scan() -> None:
    model, protocol = CASES["ivim"]
    _, signal = magnitudes("ivim", 20, 2000)
    known, estimated = (
        Map().fit(model, signal, protocol, sigma=s, bounds=narrow(model)) for s in (1 / 20, None)
    )
    difference = np.abs(known.maps["d"] - estimated.maps["d"]) / known.sd["d"]
    assert np.median(difference) < 0.1


@pytest.mark.parametrize("name", MODELS)
def test_unit_of_the_signal_does_not_matter(name: str) -> None:
    model, protocol = CASES[name]
    _, signal = magnitudes(name, 30)
    first = Map().fit(model, signal, protocol, sigma=1 / 30, bounds=narrow(model))
    second = Map().fit(model, 500 * signal, protocol, sigma=500 / 30, bounds=narrow(model))
    for parameter in model.parameters[:-1]:
        np.testing.assert_allclose(second.maps[parameter.name], first.maps[parameter.name], rtol=1e-6)
    amplitude = str(model.amplitude)
    np.testing.assert_allclose(second.maps[amplitude], 500 * first.maps[amplitude], rtol=1e-5, atol=1e-6)


def test_averages_count_as_so_many_images() -> None:
    model, _ = CASES["ivim"]
    _, signal = magnitudes("ivim", 20)
    repeated = DiffusionProtocol(np.repeat(IVIM_PROTOCOL.bvals, 4))
    averaged = DiffusionProtocol(IVIM_PROTOCOL.bvals, averages=np.full(7, 4.0))
    first = Map().fit(model, np.repeat(signal, 4, axis=1), repeated, sigma=0.05, bounds=narrow(model))
    second = Map().fit(model, signal, averaged, sigma=0.05, bounds=narrow(model))
    np.testing.assert_allclose(second.maps["f"], first.maps["f"], atol=2e-4)
    np.testing.assert_allclose(second.sd["f"], first.sd["f"], rtol=1e-2)


def test_concentrations_have_a_sd_of_the_derived_quantity() -> None:
    theta, signal, sigma = dynamic(20, 1000)
    result = Map().fit(EXTENDED_TOFTS, signal, DCE_PROTOCOL, sigma=sigma, bounds=narrow(EXTENDED_TOFTS))
    score = (result.maps["ktrans"] - theta[0] * theta[1]) / result.sd["ktrans"]
    assert 0.8 < np.sqrt(np.median(score**2) / 0.455) < 1.2
    np.testing.assert_allclose(result.maps["ktrans"], result.maps["kep"] * result.maps["ve"])


def test_fixed_parameters_stay() -> None:
    _, signal, sigma = dynamic(20, 50)
    result = Map().fit(TOFTS, signal, DCE_PROTOCOL, sigma=sigma)
    assert np.all(result.maps["vp"] == 0)
    assert np.all(np.isnan(result.sd["vp"]))


def test_a_start_elsewhere_ends_in_the_same_place() -> None:
    model, protocol = CASES["vfa"]
    _, signal = magnitudes("vfa", 300)
    limits = model.limits(narrow(model))
    noise = VoxelNoise.thermal(np.full(400, 1 / 300))
    arguments = (model, signal.T.copy(), protocol, np.ones(4), noise, *limits)
    usual = maximise(*arguments)
    start = np.stack([np.full(400, 0.5), usual.theta[1]])
    other = maximise(*arguments, start=start)
    width = np.sqrt(usual.covariance[0, 0]) * 2.9
    assert np.quantile(np.abs(other.theta[0] - usual.theta[0]) / width, 0.98) < 0.05


def test_newton_step_vanishes_but_at_limits() -> None:
    model, protocol = CASES["vfa"]
    _, signal = magnitudes("vfa", 1000)
    lower, upper = model.limits({"t1": (0.5, 1.5)})
    noise = VoxelNoise.thermal(np.full(400, 1e-3))
    mode = maximise(model, signal.T.copy(), protocol, np.ones(4), noise, lower, upper)
    inside = (mode.theta[0] > lower[0]) & (mode.theta[0] < upper[0]) & (mode.theta[1] > 0)
    scaled = mode.step[0] / np.sqrt(mode.covariance[0, 0])
    assert np.max(np.abs(scaled[inside])) < 0.02
    at_top = mode.theta[0] == upper[0]
    assert at_top.any()
    assert np.all(scaled[at_top] >= 0)


def test_unusable_voxels_have_no_estimate() -> None:
    _, signal = magnitudes("vfa", 100, 4)
    signal[0], signal[1, 2], signal[2, 0] = 0.0, np.nan, -0.1
    result = Map().fit(CASES["vfa"][0], signal, VFA_PROTOCOL, sigma=0.01)
    assert result.status.tolist()[:3] == [Status.UNUSABLE] * 3
    assert np.isnan(result.maps["t1"]).tolist() == [True, True, True, False]


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan])
def test_noise_must_be_positive(sigma: float) -> None:
    _, signal = magnitudes("vfa", 100, 4)
    with pytest.raises(InputError, match="sigma"):
        Map().fit(CASES["vfa"][0], signal, VFA_PROTOCOL, sigma=sigma)


@pytest.mark.parametrize("name", MODELS)
def test_algebraic_likelihood_has_the_minimum_of_the_exact_one(name: str) -> None:
    """The scores differ least where it matters: in units of the noise by less than 0.04 of the signal."""
    _, signal = magnitudes(name, 20)
    exact, quick = (
        kind(signal.T, np.full(400, 1 / 20)) for kind in (RicianLikelihood, QuickRicianLikelihood)
    )
    prediction = np.random.default_rng(3).uniform(0, 1, signal.T.shape)
    difference = exact.misfit(prediction)[1] - quick.misfit(prediction)[1]
    assert np.all(np.abs(difference) <= 0.04 * signal.T)
    strong = signal.T * prediction * 400 > 50
    np.testing.assert_allclose(difference[strong], 0.0, atol=1e-3)


def test_algebraic_cost_is_the_integral_of_its_score() -> None:
    objective: Any = QuickRicianLikelihood(np.array([[0.7]]), np.array([0.3]), np.array([[3.0]]))
    step = 1e-6
    for level in (0.0, 0.1, 0.5, 2.0):
        costs = [objective.misfit(np.array([[level + d]]))[0][0] for d in (-step, step)]
        score = objective.misfit(np.array([[level]]))[1][0, 0]
        assert -(costs[1] - costs[0]) / (4 * step) == pytest.approx(score, abs=1e-6)
