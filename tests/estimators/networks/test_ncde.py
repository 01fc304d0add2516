"""Estimation by networks, with random weights in place of trained ones: everything but their accuracy."""

from __future__ import annotations

import contrasts
import networks
import numpy as np
import pytest
from simulated import CASES, NOISE, draw, narrow

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Status, get_estimator
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.networks.ncde import Mlp, Ncde
from bids_qmri.estimators.posterior.box import box, quantities
from bids_qmri.estimators.posterior.map import Map
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol


def noisy(name, voxels, seed=0):
    model, protocol = CASES[name]
    theta = draw(model, voxels, seed)
    sigma = theta[-1] * NOISE[name]
    signal = add_rician_noise(model.signal(theta, protocol), sigma, np.random.default_rng(seed + 1))
    return model, protocol, theta, signal.T, sigma


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Return a function that ships a network of random weights for a model."""
    return lambda model, **changes: networks.ship(tmp_path, model, monkeypatch, **changes)


@pytest.mark.parametrize("name", CASES)
def test_a_network_that_says_nothing_leaves_the_anchor(shipped, name):
    model, protocol, _, signal, sigma = noisy(name, 300)
    shipped(model, scale=0.0)
    result = Ncde().fit(model, signal, protocol, sigma=sigma, bounds=narrow(model))
    anchor = Map().fit(model, signal, protocol, sigma=sigma, bounds=narrow(model))
    lower, upper = box(model, narrow(model))
    for quantity, width in zip(quantities(model), upper - lower, strict=True):
        difference = np.abs(result.maps[quantity] - anchor.maps[quantity])
        assert np.mean(difference < 0.02 * width) > 0.98
        inside = (anchor.sd[quantity] < 0.5 * width) & (difference < 1e-3 * width)
        np.testing.assert_allclose(result.sd[quantity][inside], anchor.sd[quantity][inside], rtol=0.05)


@pytest.mark.parametrize("name", CASES)
def test_a_voxel_does_not_know_its_batch(shipped, name):
    model, protocol, _, signal, sigma = noisy(name, 10_000)
    shipped(model)
    together = Ncde(threads=2).fit(model, signal, protocol, sigma=sigma, bounds=narrow(model))
    for voxel in (0, 4095, 4096, 9999):
        one = slice(voxel, voxel + 1)
        alone = Ncde().fit(model, signal[one], protocol, sigma=sigma[one], bounds=narrow(model))
        for quantity in (*quantities(model), model.amplitude):
            reference = together.maps[quantity]
            assert abs(alone.maps[quantity][0] - reference[voxel]) < 1e-6 * np.ptp(reference)
        assert alone.status[0] == together.status[voxel]


@pytest.mark.parametrize("name", CASES)
def test_the_unit_of_the_signal_changes_the_amplitude_alone(shipped, name):
    model, protocol, _, signal, sigma = noisy(name, 200)
    shipped(model)
    one = Ncde().fit(model, signal, protocol, sigma=sigma, bounds=narrow(model))
    other = Ncde().fit(model, 500 * signal, protocol, sigma=500 * sigma, bounds=narrow(model))
    for quantity in quantities(model):
        np.testing.assert_allclose(other.maps[quantity], one.maps[quantity], rtol=1e-4)
    np.testing.assert_allclose(other.maps[model.amplitude], 500 * one.maps[model.amplitude], rtol=1e-4)
    np.testing.assert_allclose(other.residual, 500 * one.residual, rtol=1e-4)


def test_amplitude_and_residual_are_those_of_the_estimated_curve(shipped):
    model, protocol, theta, _, _ = noisy("vfa", 50)
    shipped(model, scale=0.0)
    clean = model.signal(theta, protocol).T
    result = Ncde().fit(model, clean, protocol, sigma=theta[1] * 1e-4, bounds=narrow(model))
    np.testing.assert_allclose(result.maps["t1"], theta[0], rtol=5e-3)
    np.testing.assert_allclose(result.maps["m0"], theta[1], rtol=5e-3)
    curve = model.signal(np.stack([result.maps["t1"], result.maps["m0"]]), protocol).T
    np.testing.assert_allclose(result.residual, np.sqrt(np.mean((curve - clean) ** 2, axis=1)))


@pytest.mark.parametrize("scale", [0.0, 0.3, 100.0])
def test_estimates_keep_to_the_limits(shipped, scale):
    model, protocol, _, signal, sigma = noisy("ivim", 300)
    shipped(model, scale=scale)
    bounds = {"d": (5e-4, 2e-3), "dstar": (0.02, 0.08), "f": (0.05, 0.2)}
    result = Ncde().fit(model, signal, protocol, sigma=sigma, bounds=bounds)
    for name, (low, high) in bounds.items():
        assert np.all((result.maps[name] >= low) & (result.maps[name] <= high))
        touched = (result.maps[name] == low) | (result.maps[name] == high)
        assert not np.any(result.status[touched] == Status.OK)


def test_a_fixed_parameter_stays_and_has_no_error(shipped):
    model, protocol, _, signal, sigma = noisy("ivim", 20)
    shipped(model)
    result = Ncde().fit(model, signal, protocol, sigma=sigma, bounds=narrow(model) | {"dstar": (0.07, 0.07)})
    assert np.all(result.maps["dstar"] == 0.07)
    assert np.all(np.isnan(result.sd["dstar"]))


def test_voxels_without_signal_are_unusable(shipped):
    model, protocol, _, signal, _ = noisy("vfa", 5)
    signal[0, 1], signal[1], signal[2, 0] = np.nan, 0.0, -1.0
    shipped(model)
    result = Ncde().fit(model, signal, protocol, sigma=0.01)
    np.testing.assert_array_equal(result.status[:3], Status.UNUSABLE)
    assert np.all(result.status[3:] != Status.UNUSABLE)
    for values in (*result.maps.values(), *result.sd.values(), result.residual):
        assert np.all(np.isnan(values[:3]))
        assert np.all(np.isfinite(values[3:]))


def test_noise_that_is_not_given_is_estimated(shipped):
    model, protocol, theta, _, _ = noisy("vfa", 2000)
    theta[1] = 1.0
    signal = add_rician_noise(model.signal(theta, protocol), 1 / 300, np.random.default_rng(2)).T
    shipped(model)
    given = Ncde().fit(model, signal, protocol, sigma=1 / 300, bounds=narrow(model))
    estimated = Ncde().fit(model, signal, protocol, bounds=narrow(model))
    assert np.median(estimated.sd["t1"] / given.sd["t1"]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("protocol", "bounds", "words"),
    [
        (VfaProtocol(np.deg2rad([2, 10, 50]), 0.005), {}, "flip angles 2 to 50 degrees .trained: 1 to 40"),
        (VfaProtocol(np.deg2rad([2, 10, 20]), 0.1), {}, "repetition times 0.1 s .trained: 0.002 to 0.05"),
        (VfaProtocol(np.deg2rad(np.arange(2, 16)), 0.005), {}, "different measurements 14 .trained: 2 to 12"),
        (VfaProtocol(np.deg2rad([2, 10, 20]), 0.005), {"t1": (0.1, 9.0)}, "limits of t1 0.1 to 9 .trained"),
    ],
)
def test_protocols_and_limits_that_training_did_not_cover_are_said(shipped, protocol, bounds, words):
    shipped(VFA)
    signal = VFA.signal(np.array([[1.0, 1.5], [1.0, 1.0]]), protocol).T
    result = Ncde().fit(VFA, signal, protocol, sigma=1e-3, bounds=narrow(VFA) | bounds)
    assert len(result.notes) == 1
    assert words.replace(".trained", "(trained") in result.notes[0]
    assert np.all(result.status == Status.OUT_OF_RANGE)
    assert np.all(np.isfinite(result.maps["t1"]))


def test_noise_and_transmit_fields_outside_the_training_concern_their_voxels_alone(shipped):
    shipped(VFA)
    protocol = VfaProtocol(np.deg2rad([2, 10, 20]), 0.005).with_b1([1.0, 1.0, 1.0, 3.0, 0.2])
    signal = VFA.signal(np.array([[1.0] * 5, [1.0] * 5]), protocol).T
    sigma = np.array([1e-3, 1e-5, 0.5, 1e-3, 1e-3])
    result = Ncde().fit(VFA, signal, protocol, sigma=sigma, bounds=narrow(VFA))
    assert result.notes == ()
    np.testing.assert_array_equal(result.status == Status.OUT_OF_RANGE, [False, True, True, True, True])


def test_a_protocol_that_is_too_short_is_refused_with_what_is_needed(shipped):
    shipped(IVIM)
    protocol = DiffusionProtocol([0, 50, 50, 800, 800])
    with pytest.raises(InputError, match=r"3 different measurements .* needed: at least 4"):
        Ncde().fit(IVIM, np.ones((2, 5)), protocol, sigma=0.1)


def test_a_network_for_one_protocol_refuses_others_by_name(tmp_path):
    model, protocol, _, signal, sigma = noisy("vfa", 10)
    trained = {"flip_angle": [1, 6, 10, 25], "repetition_time": [0.005] * 4}
    file = networks.write_network(tmp_path, VFA, anchor="box", protocol=trained)
    result = Mlp(network=file).fit(model, signal, protocol, sigma=sigma, bounds=narrow(model))
    assert np.all(np.isfinite(result.maps["t1"]))
    for other, words in (
        (VfaProtocol(protocol.flip_angle, 0.006), "repetition_time of the scan is 0.006"),
        (VfaProtocol(np.deg2rad([1, 6, 10, 26]), 0.005), "flip_angle of the scan is 1, 6, 10, 26"),
        (VfaProtocol(np.deg2rad([1, 6, 25]), 0.005), "needed: 1, 6, 10, 25"),
        (protocol.with_b1(np.ones(10)), "flip_angle of the scan is"),
    ):
        with pytest.raises(InputError, match=words):
            Mlp(network=file).fit(model, signal[:, : other.n_measurements], other, sigma=sigma)


def test_a_network_without_anchor_starts_from_the_middle_of_the_limits(tmp_path):
    model, protocol, _, signal, sigma = noisy("vfa", 10)
    trained = {"flip_angle": [1, 6, 10, 25], "repetition_time": [0.005] * 4}
    file = networks.write_network(tmp_path, VFA, scale=0.0, anchor="box", protocol=trained)
    result = Ncde(network=file).fit(model, signal, protocol, sigma=sigma, bounds={"t1": (1.0, 3.0)})
    np.testing.assert_allclose(result.maps["t1"], 2.0)
    np.testing.assert_allclose(result.sd["t1"], 0.58)


def test_concentrations_get_a_noise_level_of_each_voxel(shipped):
    from test_base import small_problem

    shipped(EXTENDED_TOFTS, scale=0.0)
    signal, protocol = small_problem("etofts")
    signal = signal + np.random.default_rng(0).normal(0, [[0.002], [0.02]], signal.shape)
    result = Ncde().fit(EXTENDED_TOFTS, signal, protocol)
    assert set(result.maps) == {"kep", "ve", "vp", "t0", "ktrans"}
    assert np.all(result.status != Status.UNUSABLE)
    rough = Lsq().fit(EXTENDED_TOFTS, signal, protocol)
    np.testing.assert_allclose(result.residual, rough.residual, rtol=0.5)


@pytest.mark.parametrize("model", [get_model("megre"), get_model("mese")], ids=lambda model: model.name)
def test_rates_are_those_of_the_times(model, tmp_path):
    """The limits of a rate are those of the time, the wrong way round: no network tells anything of it."""
    file = networks.write_network(tmp_path, model)
    clean = model.predict(model.draw(50, np.random.default_rng(0)), contrasts.PROTOCOLS[model.name])
    found = Ncde(file).fit(model, clean, contrasts.PROTOCOLS[model.name], sigma=0.01, bounds=model.prior())
    time, rate = model.parameters[0].name, model.derived[0].name
    np.testing.assert_allclose(found.maps[rate], 1 / found.maps[time], rtol=1e-12)
    np.testing.assert_allclose(found.sd[rate], found.sd[time] / found.maps[time] ** 2, rtol=1e-12)


@pytest.mark.parametrize("model", ["mese", "megre"])
@pytest.mark.parametrize("label", ["lsq", "mle", "map", "bayes"])
def test_rates_and_times_of_all_estimators_agree(model, label):
    forward, protocol = get_model(model), contrasts.PROTOCOLS[model]
    clean = forward.predict(forward.draw(50, np.random.default_rng(0)), protocol)
    by = get_estimator(model, label)
    found = by.fit(forward, clean, protocol, sigma=1e-3, bounds=by.limits(forward, {}, {}))
    time, rate = forward.parameters[0].name, forward.derived[0].name
    np.testing.assert_allclose(found.maps[rate] * found.maps[time], 1.0, atol=1e-2)
