"""Inversion recovery: derivatives, recovery, error bars, and a loop of scipy over the same voxels."""

from __future__ import annotations

import numpy as np
import pytest
from checks import assert_jacobian, coverage, drawn, fitted, worst
from contrasts import INVERSIONS
from scipy.optimize import least_squares

from bids_qmri.techniques.irt1.model import IRT1
from bids_qmri.techniques.irt1.protocol import InversionProtocol

PROTOCOLS = {
    "eight": INVERSIONS,
    "three": InversionProtocol(np.array([0.1, 0.7, 2.5])),
    "four of Barral": InversionProtocol(np.array([0.05, 0.4, 1.1, 2.5])),
    "unsorted": InversionProtocol(np.array([2.5, 0.05, 1.1, 0.4])),
    "from zero": InversionProtocol(np.array([0.0, 0.3, 0.8, 2.0, 5.0])),
}


def test_the_signal_is_that_of_the_equation() -> None:
    theta = np.array([[0.8], [1.0], [100.0]])
    expected = 100 * np.abs(1 - 2 * np.exp(-INVERSIONS.inversion_time / 0.8))
    np.testing.assert_allclose(IRT1.signal(theta, INVERSIONS)[:, 0], expected)


def test_a_perfect_inversion_is_null_at_ln_2() -> None:
    null = InversionProtocol(np.array([np.log(2.0) * 1.3]))
    assert IRT1.signal(np.array([[1.3], [1.0], [1.0]]), null)[0, 0] < 1e-12


def test_saturation_recovery_is_an_efficiency_of_a_half() -> None:
    signal = IRT1.signal(np.array([[1.1], [0.5], [7.0]]), INVERSIONS)[:, 0]
    np.testing.assert_allclose(signal, 7 * (1 - np.exp(-INVERSIONS.inversion_time / 1.1)))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_jacobian_is_the_derivative_of_the_signal(name: str) -> None:
    assert_jacobian(IRT1, drawn(IRT1, 40), PROTOCOLS[name])


@pytest.mark.parametrize("name", ["eight", "four of Barral", "unsorted", "from zero"])
@pytest.mark.parametrize("label", ["lsq", "mle"])
def test_noise_free_signals_give_their_parameters_back(name: str, label: str) -> None:
    theta = drawn(IRT1, 400)
    found = fitted(IRT1, IRT1.signal(theta, PROTOCOLS[name]), PROTOCOLS[name], label)
    assert worst(found, IRT1, theta) < 1e-4


def by_scipy(times: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Fit |a + b exp(-TI / T1)| to one voxel from many starts; return T1."""
    best, cost = np.nan, np.inf
    for start in (0.2, 0.5, 1.0, 2.0, 3.0, 4.5):
        found = least_squares(
            lambda x: np.abs(x[1] + x[2] * np.exp(-times / x[0])) - measured,
            [start, measured.max(), -1.9 * measured.max()],
            bounds=([0.01, 0, -np.inf], [10, np.inf, 0]),
            xtol=1e-14,
            ftol=1e-14,
            gtol=1e-14,
            x_scale=[1, measured.max(), measured.max()],
        )
        if found.cost < cost:
            best, cost = found.x[0], found.cost
    return best


def test_a_loop_of_scipy_finds_the_same_in_noisy_voxels() -> None:
    theta = drawn(IRT1, 60, seed=4)
    clean = IRT1.signal(theta, INVERSIONS)
    noise = 0.01 * np.random.default_rng(2).normal(size=clean.shape)
    measured = np.abs(clean + noise)
    found = fitted(IRT1, measured, INVERSIONS)
    inside = found.status == 1
    assert inside.mean() > 0.9
    expected = np.array([by_scipy(INVERSIONS.inversion_time, voxel) for voxel in measured.T[inside]])
    np.testing.assert_allclose(found.maps["t1"][inside], expected, rtol=1e-4)


@pytest.mark.parametrize("snr", [30, 100])
def test_error_bars_hold_two_thirds_of_the_truth(snr: float) -> None:
    assert coverage(IRT1, INVERSIONS, "t1", snr) == pytest.approx(0.68, abs=0.04)


def test_a_short_repetition_time_changes_the_efficiency_and_not_t1() -> None:
    """An inversion every TR recovers to 1 - 2 exp(-TI / T1) + exp(-TR / T1) of the whole."""
    t1, tr = np.linspace(0.3, 1.5, 30), 2.8
    protocol = InversionProtocol(np.array([0.05, 0.2, 0.5, 0.9, 1.4, 2.0]))
    signal = np.abs(1 - 2 * np.exp(-protocol.inversion_time[:, None] / t1) + np.exp(-tr / t1))
    found = fitted(IRT1, signal, protocol)
    np.testing.assert_allclose(found.maps["t1"], t1, rtol=1e-4)
    np.testing.assert_allclose(found.maps["efficiency"], 1 / (1 + np.exp(-tr / t1)), rtol=1e-4)


@pytest.mark.parametrize("times", [[0.1, 2.0], [0.1, 0.1, 2.0], [0.5]])
def test_fewer_than_three_inversion_times_are_refused(times: list[float]) -> None:
    assert "3 are needed" in IRT1.obstacle(InversionProtocol(np.array(times)))
