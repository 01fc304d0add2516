"""Least squares: recovery, error bars, status, bounds, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import CASES, IVIM_PROTOCOL, NOISE, VFA_PROTOCOL, draw, estimates, narrow

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Status
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol


@settings(max_examples=25, deadline=None)
@given(
    flips=st.lists(st.integers(1, 60), min_size=2, max_size=10, unique=True),
    tr=st.sampled_from([0.004, 0.007, 0.015, 0.03]),
    b1=st.sampled_from([None, 0.7, 1.3]),
    seed=st.integers(0, 99),
)
def test_noise_free_vfa_is_recovered(flips: list[int], tr: float, b1: float | None, seed: int) -> None:
    protocol = VfaProtocol(np.deg2rad(flips), tr)
    protocol = protocol if b1 is None else protocol.with_b1(np.full(50, b1))
    theta = draw(VFA, 50, seed)
    result = Lsq().fit(VFA, VFA.signal(theta, protocol).T, protocol)
    # Two angles of 40 and 41 degrees leave the search 1e-6 short of the end.
    np.testing.assert_allclose(estimates(VFA, result), theta, rtol=1e-5)
    # Two measurements of two parameters say nothing of the noise; more do, even where all is explained.
    assert np.all((result.sd["t1"] >= 0) == (len(flips) > 2))
    assert np.all(result.status == Status.OK)


IVIM_BVALS = {
    "Table 3": [0, 10, 20, 50, 100, 300, 600],
    "four": [0, 10, 50, 600],
    "six": [0, 10, 20, 50, 75, 600],
    "eight": [0, 10, 20, 50, 75, 150, 400, 600],
    "ten": [0, 10, 20, 30, 50, 75, 150, 250, 400, 600],
    "sparse": [0, 50, 400, 800],
    "sixteen": [0, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 200, 300, 400, 600, 1000],
}


@pytest.mark.parametrize("name", IVIM_BVALS)
def test_noise_free_ivim_is_recovered(name: str) -> None:
    protocol, theta = DiffusionProtocol(IVIM_BVALS[name]), draw(IVIM, 2000, seed=1)
    result = Lsq().fit(IVIM, IVIM.signal(theta, protocol).T, protocol)
    np.testing.assert_allclose(estimates(IVIM, result), theta, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("name", CASES)
def test_unit_of_the_signal_does_not_matter(name: str, scale: float) -> None:
    model, protocol = CASES[name]
    theta = draw(model, 100)
    theta[-1] *= scale
    result = Lsq().fit(model, model.signal(theta, protocol).T, protocol)
    np.testing.assert_allclose(estimates(model, result), theta, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_error_bars_are_those_of_repeated_measurements(name: str) -> None:
    model, protocol = CASES[name]
    theta = np.repeat([[p.training[0] * 0.6 + p.training[1] * 0.4] for p in model.parameters], 3000, axis=1)
    sigma = 0.1 * NOISE[name] * theta[-1, 0]
    clean = model.signal(theta, protocol)
    signal = clean + sigma * np.random.default_rng(7).standard_normal(clean.shape)
    result = Lsq().fit(model, signal.T, protocol, sigma=sigma)
    for p, truth in zip(model.parameters, theta[:, 0], strict=True):
        estimate, spread = result.maps[p.name], result.sd[p.name].mean()
        assert estimate.std() == pytest.approx(spread, rel=0.06)
        assert abs(estimate.mean() - truth) < 0.1 * spread


@pytest.mark.parametrize("name", CASES)
def test_error_bars_from_residuals_agree_with_known_noise(name: str) -> None:
    model, protocol = CASES[name]
    clean = model.signal(draw(model, 2000, seed=8), protocol)
    sigma = 0.01 * NOISE[name]
    signal = (clean + sigma * np.random.default_rng(8).standard_normal(clean.shape)).T
    known, own = Lsq().fit(model, signal, protocol, sigma=sigma), Lsq().fit(model, signal, protocol)
    for p in model.parameters:
        ratio = own.sd[p.name] / known.sd[p.name]
        assert np.sqrt(np.mean(ratio**2)) == pytest.approx(1, abs=0.05)


def test_as_many_measurements_as_parameters_leave_no_error_bar_of_their_own() -> None:
    protocol = VfaProtocol(np.deg2rad([3, 18]), 0.015)
    signal = VFA.signal(draw(VFA, 5), protocol).T
    assert np.all(np.isnan(Lsq().fit(VFA, signal, protocol).sd["t1"]))
    assert np.all(Lsq().fit(VFA, signal, protocol, sigma=0.01).sd["t1"] > 0)


def test_averages_count_as_repeated_images() -> None:
    averages = np.array([4, 1, 1, 1, 2, 1, 3])
    signal = IVIM.signal(draw(IVIM, 30), IVIM_PROTOCOL).T
    signal += 0.01 * np.random.default_rng(2).standard_normal(signal.shape)
    weighted = DiffusionProtocol(IVIM_PROTOCOL.bvals, averages=averages)
    repeated = DiffusionProtocol(np.repeat(IVIM_PROTOCOL.bvals, averages))
    one = Lsq().fit(IVIM, signal, weighted, sigma=0.01, bounds=narrow(IVIM))
    many = Lsq().fit(IVIM, np.repeat(signal, averages, axis=1), repeated, sigma=0.01, bounds=narrow(IVIM))
    for p in IVIM.parameters:
        np.testing.assert_allclose(one.maps[p.name], many.maps[p.name], rtol=1e-6)
        np.testing.assert_allclose(one.sd[p.name], many.sd[p.name], rtol=1e-5)


def test_equal_bounds_fix_a_parameter() -> None:
    signal = IVIM.signal(draw(IVIM, 50), IVIM_PROTOCOL).T
    result = Lsq().fit(IVIM, signal, IVIM_PROTOCOL, bounds={"dstar": (0.07, 0.07)})
    np.testing.assert_array_equal(result.maps["dstar"], 0.07)
    assert np.all(np.isnan(result.sd["dstar"]))
    assert np.all(np.isin(result.status, [Status.OK, Status.AT_BOUND]))


def test_estimate_outside_the_bounds_ends_at_the_bound() -> None:
    theta = np.array([[2.0], [1.0]])
    result = Lsq().fit(VFA, VFA.signal(theta, VFA_PROTOCOL).T, VFA_PROTOCOL, bounds={"t1": (0.1, 1.5)})
    assert result.maps["t1"][0] == 1.5
    # Status 6 takes the place of 2 where the only parameter is at its limit.
    assert result.status[0] == Status.UNDETERMINED
    assert np.isnan(result.sd["t1"][0])


def test_unusable_voxels_are_named_and_do_not_disturb_others() -> None:
    theta = draw(VFA, 6)
    signal = VFA.signal(theta, VFA_PROTOCOL).T
    signal[0, 1], signal[1, 2], signal[2], signal[3] = np.nan, np.inf, 0.0, -signal[3]
    result = Lsq().fit(VFA, signal, VFA_PROTOCOL, sigma=1e-4)
    np.testing.assert_array_equal(result.status, [4, 4, 4, 4, 1, 1])
    assert np.all(np.isnan(result.maps["t1"][:4]))
    np.testing.assert_allclose(result.maps["t1"][4:], theta[0, 4:], rtol=1e-6)


def test_voxel_without_transmit_field_is_unusable() -> None:
    protocol = VFA_PROTOCOL.with_b1([1.0, 0.0])
    result = Lsq().fit(VFA, np.ones((2, 4)), protocol)
    assert result.status[1] == Status.UNUSABLE
    assert np.isnan(result.maps["t1"][1])


def test_no_voxels_give_empty_maps() -> None:
    result = Lsq().fit(VFA, np.empty((0, 4)), VFA_PROTOCOL)
    assert result.maps["t1"].shape == result.status.shape == (0,)


def test_residual_is_the_rms_difference() -> None:
    protocol = VfaProtocol(np.deg2rad([90, 90]), 0.01)
    result = Lsq().fit(VFA, [[1.0, 3.0]], protocol, bounds={"t1": (1.0, 1.0)})
    assert result.residual[0] == pytest.approx(1.0)


def test_derived_quantities_have_error_bars_by_the_delta_method() -> None:
    model = get_model("etofts")
    time = np.arange(0.0, 300.0, 5.0)
    protocol = DceProtocol(time, time, np.where(time > 20, 5 * np.exp(-time / 200), 0.0))
    theta = np.repeat([[0.5], [0.3], [0.03], [0.0]], 2000, axis=1)
    clean = model.signal(theta, protocol)
    signal = clean + 0.02 * np.random.default_rng(3).standard_normal(clean.shape)
    result = Lsq().fit(model, signal.T, protocol, sigma=0.02)
    assert result.maps["ktrans"].mean() == pytest.approx(0.15, rel=0.01)
    assert result.maps["ktrans"].std() == pytest.approx(result.sd["ktrans"].mean(), rel=0.06)


@pytest.mark.parametrize(
    ("model", "protocol"),
    [(VFA, VfaProtocol([0.1], 0.005)), (IVIM, DiffusionProtocol([0, 50, 600]))],
    ids=["vfa", "ivim"],
)
def test_fewer_measurements_than_parameters_are_refused(model: object, protocol: object) -> None:
    with pytest.raises(InputError, match="free parameters"):
        Lsq().fit(model, np.ones((3, protocol.n_measurements)), protocol)


def test_shape_that_does_not_fit_the_protocol_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(4, 3\)"):
        Lsq().fit(VFA, np.ones((4, 3)), VFA_PROTOCOL)


def test_wrong_repetition_time_scales_t1() -> None:
    theta = draw(VFA, 20)
    signal = VFA.signal(theta, VFA_PROTOCOL).T
    longer = VfaProtocol(VFA_PROTOCOL.flip_angle, 1.02 * VFA_PROTOCOL.repetition_time)
    np.testing.assert_allclose(Lsq().fit(VFA, signal, longer).maps["t1"], 1.02 * theta[0], rtol=1e-6)


def test_ignored_transmit_field_biases_t1_by_its_square() -> None:
    protocol = VfaProtocol(np.deg2rad([2, 4, 8, 12]), 0.005)
    theta = np.array([[1.5], [1.0]])
    signal = VFA.signal(theta, protocol.with_b1([1.1])).T
    assert Lsq().fit(VFA, signal, protocol).maps["t1"][0] / 1.5 == pytest.approx(1.1**2, abs=0.01)
    assert Lsq().fit(VFA, signal, protocol.with_b1([1.1])).maps["t1"][0] == pytest.approx(1.5)


def test_error_bars_are_proportional_to_the_noise() -> None:
    signal = VFA.signal(draw(VFA, 3), VFA_PROTOCOL).T
    sigma = np.array([0.001, 0.002, 0.003])
    each = Lsq().fit(VFA, signal, VFA_PROTOCOL, sigma=sigma).sd["t1"]
    unit = Lsq().fit(VFA, signal, VFA_PROTOCOL, sigma=0.001).sd["t1"]
    np.testing.assert_allclose(each, unit * sigma / 0.001)


def test_error_bars_are_the_inverse_of_the_information() -> None:
    theta = draw(IVIM, 50)
    result = Lsq().fit(IVIM, IVIM.signal(theta, IVIM_PROTOCOL).T, IVIM_PROTOCOL, sigma=0.01)
    jacobian = IVIM.signal_and_jacobian(theta, IVIM_PROTOCOL)[1]
    for v in range(50):
        covariance = 0.01**2 * np.linalg.inv(jacobian[:, :, v] @ jacobian[:, :, v].T)
        spread = [result.sd[p.name][v] for p in IVIM.parameters]
        np.testing.assert_allclose(spread, np.sqrt(np.diag(covariance)), rtol=1e-4)


def test_parameters_beside_one_at_its_bound_keep_their_error_bars() -> None:
    theta = np.array([[1e-3], [0.05], [0.1], [1.0]])
    signal = IVIM.signal(theta, IVIM_PROTOCOL).T
    held = Lsq().fit(IVIM, signal, IVIM_PROTOCOL, sigma=0.01, bounds={"f": (0.15, 1.0)})
    fixed = Lsq().fit(IVIM, signal, IVIM_PROTOCOL, sigma=0.01, bounds={"f": (0.15, 0.15)})
    assert held.status[0] == Status.AT_BOUND
    assert fixed.status[0] == Status.OK
    assert np.isnan(held.sd["f"][0])
    assert held.sd["d"][0] == pytest.approx(fixed.sd["d"][0], rel=1e-4)


def test_parameters_that_cannot_be_told_apart_have_no_error_bar() -> None:
    protocol = VfaProtocol(np.deg2rad([15, 15, 15]), 0.01)
    result = Lsq().fit(VFA, [[1.0, 1.1, 0.9]], protocol, sigma=0.1)
    assert np.isnan(result.sd["t1"][0])


def test_maps_do_not_depend_on_what_else_is_fitted() -> None:
    signal = IVIM.signal(draw(IVIM, 60), IVIM_PROTOCOL).T
    signal += 0.02 * np.random.default_rng(11).standard_normal(signal.shape)
    whole, part = (Lsq().fit(IVIM, s, IVIM_PROTOCOL, sigma=0.02) for s in (signal, signal[20:30]))
    for p in IVIM.parameters:
        np.testing.assert_allclose(part.maps[p.name], whole.maps[p.name][20:30], rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(part.sd[p.name], whole.sd[p.name][20:30], rtol=1e-4)
    np.testing.assert_array_equal(part.status, whole.status[20:30])


def test_two_images_give_no_residuals_hence_no_error_bars_even_at_a_limit():
    protocol = VfaProtocol(np.deg2rad([3.0, 20.0]), 0.015)
    result = Lsq().fit(VFA, np.array([[10.0, 40.0], [40.0, 10.0]]), protocol)
    assert Status.AT_BOUND in result.status
    assert np.all(np.isnan([result.sd["t1"], result.sd["m0"]]))
