"""The field of phases: known fields with wraps in time, error bars, and voxels that tell none."""

from __future__ import annotations

import numpy as np
import pytest
from checks import assert_jacobian

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult, Status, get_estimator
from bids_qmri.techniques.fieldmap.model import OFF_RESONANCE
from bids_qmri.techniques.fieldmap.protocol import ComplexEchoes
from bids_qmri.units import FloatArray

EVEN = np.arange(0.003, 0.0241, 0.0023)
TIMES = {
    "even": EVEN,
    "two": np.array([0.0046, 0.007]),
    "unequal": np.array([0.0031, 0.0054, 0.0119, 0.0142, 0.0263]),
    "close echoes late": np.array([0.002, 0.009, 0.016, 0.0184, 0.0301]),
    "any order": EVEN[[3, 0, 9, 5, 1, 2, 8, 4, 6, 7]],
}


def theta(field: FloatArray) -> FloatArray:
    return np.stack([field, np.full_like(field, 800.0), np.full_like(field, 30.0), np.full_like(field, 2.0)])


def fit(signal: FloatArray, protocol: ComplexEchoes, sigma: float | None = None) -> FitResult:
    return get_estimator("fieldmap", "phase").fit(OFF_RESONANCE, signal, protocol, sigma=sigma)


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
def test_known_fields_are_found_whatever_their_wraps_in_time(times: FloatArray) -> None:
    protocol = ComplexEchoes(times)
    field = np.append(np.linspace(-0.98, 0.98, 64) * protocol.limit, 180.0)
    found = fit(OFF_RESONANCE.signal(theta(field), protocol).T, protocol)
    np.testing.assert_allclose(found.maps["b0"], field, rtol=1e-6)
    np.testing.assert_allclose(found.maps["s0"], 800.0)
    np.testing.assert_allclose(found.maps["r2star"], 30.0)
    np.testing.assert_allclose(found.residual, 0.0, atol=1e-9)
    assert set(found.status) == {Status.OK}


def test_one_step_of_phase_by_hand() -> None:
    """A quarter of a turn in 2.5 ms is 100 Hz; three quarters look like a quarter the other way."""
    protocol = ComplexEchoes(np.array([0.0025, 0.005]))
    assert protocol.limit == pytest.approx(200.0)
    real, imaginary = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [0.0, -1.0]])
    np.testing.assert_allclose(fit(np.hstack([real, imaginary]), protocol).maps["b0"], [100.0, -100.0])


def test_fields_beyond_the_limit_are_shifted_by_twice_of_it() -> None:
    protocol = ComplexEchoes(EVEN)
    beyond = np.array([1.2, -1.2]) * protocol.limit
    found = fit(OFF_RESONANCE.signal(theta(beyond), protocol).T, protocol).maps["b0"]
    np.testing.assert_allclose(found, beyond - np.sign(beyond) * 2 * protocol.limit, rtol=1e-6)


@pytest.mark.parametrize("name", ["even", "two", "unequal"])
def test_error_bars_are_those_of_repeated_scans(name: str) -> None:
    protocol, rng = ComplexEchoes(TIMES[name]), np.random.default_rng(2)
    clean = OFF_RESONANCE.signal(theta(np.full(8000, 110.0)), protocol).T
    found = fit(clean + 12.0 * rng.normal(size=clean.shape), protocol, sigma=12.0)
    assert np.std(found.maps["b0"]) == pytest.approx(np.median(found.sd["b0"]), rel=0.05)
    assert np.mean(found.maps["b0"]) == pytest.approx(110.0, abs=4 * np.median(found.sd["b0"]) / 8000**0.5)


def test_weak_echoes_hardly_count() -> None:
    """An echo of a thousandth of the others, half a turn off, moves the line by less than a thousandth."""
    protocol = ComplexEchoes(EVEN)
    signal = OFF_RESONANCE.signal(theta(np.array([100.0])), protocol).T
    signal[:, [9, 19]] *= -1e-3
    assert fit(signal, protocol).maps["b0"][0] == pytest.approx(100.0, rel=1e-3)


def test_voxels_without_signal_or_phase_are_unusable() -> None:
    protocol = ComplexEchoes(EVEN)
    signal = OFF_RESONANCE.signal(theta(np.zeros(4)), protocol).T
    signal[0] = 0.0
    signal[1, [3, 13]] = 0.0
    signal[2, 4] = np.nan
    found = fit(signal, protocol, sigma=1.0)
    assert found.status.tolist() == [Status.UNUSABLE] * 3 + [Status.OK]
    assert np.isnan(found.maps["b0"]).tolist() == [True, True, True, False]
    assert np.isnan(found.sd["b0"]).tolist() == [True, True, True, False]


def test_phases_alone_tell_no_error() -> None:
    protocol = ComplexEchoes(EVEN, np.asarray(0.0))
    turn = 2 * np.pi * 70.0 * EVEN
    found = fit(np.concatenate([np.cos(turn), np.sin(turn)])[None], protocol, sigma=1.0)
    np.testing.assert_allclose(found.maps["b0"], 70.0)
    assert found.sd == {}
    assert protocol.magnitudes().size == 0


@pytest.mark.parametrize("times", [[0.003, 0.003], [3.0, 5.0], [0.0, 0.003]])
def test_echo_times_that_cannot_be_meant_are_refused(times: list[float]) -> None:
    with pytest.raises(InputError, match=r"EchoTime: .*; needed: "):
        ComplexEchoes(np.array(times))


def test_one_echo_tells_no_field() -> None:
    assert OFF_RESONANCE.obstacle(ComplexEchoes(np.array([0.004]))) == "one echo time; 2 are needed"


def test_derivatives_are_those_of_the_signal() -> None:
    assert_jacobian(OFF_RESONANCE, theta(np.linspace(-150, 120, 7)), ComplexEchoes(EVEN))
