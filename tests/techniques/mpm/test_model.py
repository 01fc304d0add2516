"""Weightings with and without an MT pulse: pulse by pulse, derivatives, recovery, error bars."""

from __future__ import annotations

import numpy as np
import pytest
from checks import assert_jacobian, coverage, drawn, fitted, worst
from contrasts import weightings

from bids_qmri.techniques.mpm.model import MPM, MTS
from bids_qmri.techniques.mpm.protocol import MultiParameterProtocol

CASES = {"mpm": (MPM, weightings(6)), "mts": (MTS, weightings(1))}


def by_pulses(t1: float, percent: float, degrees: float, mt: bool, b1: float, tr: float = 0.025) -> float:
    """Return the steady signal of unit magnetisation after many repetitions, pulse by pulse.

    The MT pulse takes its share before every excitation, as in Helms et al. 2008; the share grows with the
    square of the field, corrected as in Weiskopf et al. 2013.
    """
    share, along = 0.01 * percent * b1**2 * (1 - 0.4 * b1) / (1 - 0.4) * mt, 1.0
    angle = np.deg2rad(degrees) * b1
    for _ in range(int(12 * t1 / tr)):
        signal = along * np.sin(angle)
        along = (1 - share) * np.cos(angle) * along
        along = 1 + (along - 1) * np.exp(-tr / t1)
    return float(signal)


@pytest.mark.parametrize("b1", [0.8, 1.0, 1.2])
def test_the_signal_is_that_of_a_train_of_pulses(b1: float) -> None:
    theta = np.array([[0.7, 1.6], [1.0, 3.5], [1.0, 1.0]])
    protocol = CASES["mts"][1]
    found = MTS.signal(theta, protocol.with_b1(np.full(2, b1)))
    for voxel in (0, 1):
        expected = [
            by_pulses(theta[0, voxel], theta[1, voxel], degrees, mt, b1)
            for degrees, mt in ((6, True), (6, False), (21, False))
        ]
        # Without echo: the model's only echo is before any decay of its own.
        np.testing.assert_allclose(found[:, voxel], expected, rtol=2e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("by_voxel", [False, True])
def test_jacobian_is_the_derivative_of_the_signal(name: str, by_voxel: bool) -> None:
    model, protocol = CASES[name]
    played = protocol.with_b1(np.linspace(0.8, 1.2, 20)) if by_voxel else protocol
    assert_jacobian(model, drawn(model, 20), played)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("by_voxel", [False, True])
def test_noise_free_signals_give_their_parameters_back(name: str, by_voxel: bool) -> None:
    model, protocol = CASES[name]
    played = protocol.with_b1(np.linspace(0.8, 1.2, 300)) if by_voxel else protocol
    theta = drawn(model, 300)
    found = fitted(model, model.signal(theta, played), played)
    assert worst(found, model, theta) < 1e-4
    np.testing.assert_allclose(found.maps["r1"], 1 / theta[0], rtol=1e-4)


@pytest.mark.parametrize(("name", "parameter"), [("mpm", "mtsat"), ("mpm", "r2star"), ("mts", "t1")])
def test_error_bars_hold_two_thirds_of_the_truth(name: str, parameter: str) -> None:
    model, protocol = CASES[name]
    assert coverage(model, protocol, parameter, 100) == pytest.approx(0.68, abs=0.05)


def test_echoes_decide_between_both_models() -> None:
    assert MTS.obstacle(weightings(1)) == MPM.obstacle(weightings(2)) == ""
    assert "mpm is for these" in MTS.obstacle(weightings(2))
    assert "R2* is not told" in MPM.obstacle(weightings(1))


def test_one_flip_angle_is_refused() -> None:
    flip = np.deg2rad([6.0, 6.0])
    one = MultiParameterProtocol(flip, np.full(2, 0.025), np.zeros(2), np.array([1.0, 0.0]))
    assert "two flip angles" in MTS.obstacle(one)
