"""The spoiled gradient-echo signal: its limits, its symmetries, its derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol

TISSUES = np.array([[0.1, 0.8, 1.4, 3.0, 9.0], [1.0, 2.0, 500.0, 3.0, 0.01]])

PROTOCOLS = {
    "shared": VfaProtocol(np.deg2rad([1, 6, 10, 25]), 0.005),
    "two repetition times": VfaProtocol(np.deg2rad([3, 15, 15]), [0.005, 0.005, 0.03]),
    "per voxel": VfaProtocol(np.deg2rad([2, 10, 20]), 0.015).with_b1([0.7, 0.9, 1.0, 1.1, 1.3]),
}


@given(t1=st.floats(0.05, 5.0), tr=st.floats(0.002, 0.1))
def test_signal_peaks_at_the_ernst_angle(t1: float, tr: float) -> None:
    ernst = np.arccos(np.exp(-tr / t1))
    protocol = VfaProtocol(ernst * np.array([0.98, 1.0, 1.02]), tr)
    below, peak, above = VFA.signal(np.array([[t1], [1.0]]), protocol)[:, 0]
    assert peak > below
    assert peak > above
    assert peak == pytest.approx(np.tan(ernst / 2))


def test_long_repetition_time_leaves_the_sine() -> None:
    flips = np.deg2rad([5, 30, 90, 150])
    signal = VFA.signal(TISSUES[:, :3], VfaProtocol(flips, 1e4))
    np.testing.assert_allclose(signal, np.outer(np.sin(flips), TISSUES[1, :3]))


def test_ninety_degrees_is_saturation_recovery() -> None:
    signal = VFA.signal(TISSUES, VfaProtocol([np.pi / 2], 0.4))
    np.testing.assert_allclose(signal[0], TISSUES[1] * (1 - np.exp(-0.4 / TISSUES[0])))


def test_only_the_ratio_of_repetition_time_and_t1_matters() -> None:
    flips = np.deg2rad([2, 10, 20])
    slower = TISSUES * [[1.5], [1.0]]
    np.testing.assert_allclose(
        VFA.signal(TISSUES, VfaProtocol(flips, 0.01)), VFA.signal(slower, VfaProtocol(flips, 0.015))
    )


def test_transmit_field_scales_the_flip_angle() -> None:
    nominal, actual = np.deg2rad([2, 10, 20]), np.deg2rad([2.2, 11, 22])
    scaled = VfaProtocol(nominal, 0.01).with_b1(np.full(5, 1.1))
    np.testing.assert_allclose(VFA.signal(TISSUES, scaled), VFA.signal(TISSUES, VfaProtocol(actual, 0.01)))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_jacobian_is_the_derivative_of_the_signal(name: str) -> None:
    protocol = PROTOCOLS[name]
    signal, jacobian = VFA.signal_and_jacobian(TISSUES, protocol)
    np.testing.assert_allclose(signal, VFA.signal(TISSUES, protocol))
    for i in range(2):
        step = np.zeros_like(TISSUES)
        step[i] = 1e-6 * TISSUES[i]
        difference = VFA.signal(TISSUES + step, protocol) - VFA.signal(TISSUES - step, protocol)
        np.testing.assert_allclose(jacobian[i], difference / (2 * step[i]), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", PROTOCOLS)
@settings(max_examples=20)
@given(upper=st.floats(0.2, 10.0))
def test_start_keeps_the_limits(name: str, upper: float) -> None:
    protocol = PROTOCOLS[name]
    lower, upper_limits = VFA.limits({"t1": (0.1, upper)})
    start = VFA.start(VFA.signal(TISSUES, protocol), protocol, lower, upper_limits)
    assert np.all((start >= lower[:, None]) & (start <= upper_limits[:, None]))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_start_is_within_one_grid_cell(name: str) -> None:
    protocol = PROTOCOLS[name]
    start = VFA.start(VFA.signal(TISSUES, protocol), protocol, *VFA.limits())
    assert np.all(np.abs(np.log(start[0] / TISSUES[0])) < np.log(10.0 / 0.01) / 24)
