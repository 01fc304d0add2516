"""Magnetisation transfer ratio: its definition, derivatives, error bars."""

from __future__ import annotations

import numpy as np
import pytest
from checks import assert_jacobian, drawn, fitted, worst

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import get_estimator
from bids_qmri.techniques.mtr.model import MTR
from bids_qmri.techniques.mtr.protocol import TransferProtocol

PAIR = TransferProtocol(np.array([1.0, 0.0]))
REPEATED = TransferProtocol(np.array([0.0, 0.0, 1.0, 1.0, 1.0]))


def test_it_is_the_share_of_the_signal_that_the_pulse_takes() -> None:
    with_pulse, without = np.array([[60.0, 100.0, 110.0], [100.0, 100.0, 100.0]])
    found = fitted(MTR, np.stack([with_pulse, without]), PAIR)
    np.testing.assert_allclose(
        found.maps["mtr"], 100 * (without - with_pulse) / without, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("protocol", [PAIR, REPEATED])
def test_jacobian_is_the_derivative_of_the_signal(protocol: TransferProtocol) -> None:
    assert_jacobian(MTR, drawn(MTR, 20), protocol)


@pytest.mark.parametrize("protocol", [PAIR, REPEATED])
def test_noise_free_signals_give_their_parameters_back(protocol: TransferProtocol) -> None:
    theta = drawn(MTR, 200)
    assert worst(fitted(MTR, MTR.signal(theta, protocol), protocol), MTR, theta) < 1e-4


def test_error_bars_are_those_of_error_propagation() -> None:
    found = get_estimator("mtr", "lsq").fit(MTR, [[60.0, 100.0]], PAIR, sigma=1.0)
    assert found.sd["mtr"][0] == pytest.approx(100 * np.hypot(1 / 100, 0.6 / 100), rel=1e-3)


@pytest.mark.parametrize(("states", "seen"), [([0.0, 0.0], "no image with an MT"), ([1.0], "without an MT")])
def test_one_state_is_not_enough(states: list[float], seen: str) -> None:
    assert seen in MTR.obstacle(TransferProtocol(np.array(states)))


def test_a_state_is_true_or_false() -> None:
    with pytest.raises(InputError, match="MTState"):
        TransferProtocol(np.array([0.0, 2.0]))
