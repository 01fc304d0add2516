"""The steady state of MP2RAGE, against pulses one by one; its look-up, its error bars, the transmit field."""

from __future__ import annotations

import numpy as np
import pytest
from contrasts import mp2rage
from synth_contrasts import mp2rage_signals

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult, Status, get_estimator
from bids_qmri.techniques.mp2rage.fit import look_up
from bids_qmri.techniques.mp2rage.model import MP2RAGE, combination, readouts
from bids_qmri.techniques.mp2rage.protocol import Mp2rageProtocol

T1 = np.linspace(0.5, 3.0, 60)
SEVEN_TESLA = mp2rage()


def lookup(signal: np.ndarray, protocol: Mp2rageProtocol = SEVEN_TESLA, **more: float) -> FitResult:
    """Fit signals, (V, N)."""
    return get_estimator("mp2rage", "lookup").fit(MP2RAGE, signal, protocol, **more)


@pytest.mark.parametrize("b1", [0.8, 1.0, 1.2])
def test_the_steady_state_is_that_of_pulses_one_by_one(b1: float) -> None:
    found = readouts(T1, 0.96, SEVEN_TESLA.with_b1(np.full(60, b1)))
    np.testing.assert_allclose(found, mp2rage_signals(T1, b1), rtol=1e-6, atol=1e-9)


def test_trains_whose_centre_is_not_in_their_middle() -> None:
    """Partial Fourier: 60 excitations before the centre and 100 from it on."""
    protocol = mp2rage(shots=np.array([60.0, 100.0]))
    along, recover = np.ones_like(T1), np.exp(-0.007 / T1)
    for _ in range(12):
        signals, clock, along = [], 0.0, -0.96 * along
        for centre, degrees in ((0.8, 4.0), (2.7, 5.0)):
            along = 1 + (along - 1) * np.exp(-(centre - 60 * 0.007 - clock) / T1)
            for pulse in range(160):
                if pulse == 60:
                    signals.append(np.sin(np.deg2rad(degrees)) * along)
                along = 1 + (along * np.cos(np.deg2rad(degrees)) - 1) * recover
            clock = centre + 100 * 0.007
        along = 1 + (along - 1) * np.exp(-(6.0 - clock) / T1)
    np.testing.assert_allclose(readouts(T1, 0.96, protocol), signals, rtol=1e-6, atol=1e-9)


def test_noise_free_images_give_t1_back() -> None:
    found = lookup(100 * readouts(T1, 0.96, SEVEN_TESLA).T)
    np.testing.assert_allclose(found.maps["t1"], T1, rtol=1e-4)
    np.testing.assert_allclose(found.maps["m0"], 100.0, rtol=1e-6)
    assert np.all(found.status == Status.OK)


def test_the_combined_image_alone_gives_the_same_t1() -> None:
    uniform = combination(readouts(T1, 0.96, SEVEN_TESLA))
    found = lookup(uniform[:, None], mp2rage(combined=np.asarray(1.0)))
    np.testing.assert_allclose(found.maps["t1"], T1, rtol=1e-4)
    assert "m0" not in found.maps
    assert np.all(np.isnan(found.sd["t1"]))


@pytest.mark.parametrize("b1", [0.8, 0.9, 1.1, 1.2])
def test_a_known_transmit_field_leaves_no_bias(b1: float) -> None:
    measured = np.array(mp2rage_signals(T1, b1))
    found = lookup(measured.T, SEVEN_TESLA.with_b1(np.full(60, b1)))
    ok = found.status == Status.OK
    assert ok.mean() > 0.9
    np.testing.assert_allclose(found.maps["t1"][ok], T1[ok], rtol=0.01)
    untold = lookup(measured.T)
    assert np.max(np.abs(untold.maps["t1"] / T1 - 1)) > 0.02


def test_where_the_table_turns_two_t1_have_one_value_and_the_end_is_said() -> None:
    low = get_model("mp2rage").parameters[0].bounds[0]
    short = np.array([0.06, 0.08])
    found = lookup(readouts(short, 0.96, SEVEN_TESLA).T)
    table = combination(readouts(np.geomspace(low, 6.0, 500), 0.96, SEVEN_TESLA))
    turn = np.geomspace(low, 6.0, 500)[np.argmax(table)]
    assert np.all(short < turn)
    # What lies before the turn is taken for its counterpart behind it, which is the answer of any table.
    again = combination(readouts(found.maps["t1"], 0.96, SEVEN_TESLA))
    inside = found.status == Status.OK
    np.testing.assert_allclose(again[inside], combination(readouts(short, 0.96, SEVEN_TESLA))[inside])


def test_values_beyond_the_table_get_its_end_and_say_so() -> None:
    t1, inside = look_up(np.array([0.5, -0.4999]), 0.96, SEVEN_TESLA, (0.05, 6.0))
    assert not inside.any()
    assert t1[0] < 0.5
    assert t1[1] > 3.0


def test_error_bars_are_the_scatter_of_repeated_measurements() -> None:
    clean = 1000 * readouts(np.array([1.4]), 0.96, SEVEN_TESLA)[:, 0]
    measured = clean + 0.5 * np.random.default_rng(0).normal(size=(5000, 2))
    found = lookup(measured, sigma=0.5)
    assert np.std(found.maps["t1"]) == pytest.approx(np.median(found.sd["t1"]), rel=0.05)
    assert np.mean(np.abs(found.maps["t1"] - 1.4) < found.sd["t1"]) == pytest.approx(0.68, abs=0.03)


def test_efficiency_is_a_setting() -> None:
    model = get_model("mp2rage", efficiency=0.9)
    signal = readouts(T1, 0.9, SEVEN_TESLA).T
    found = get_estimator("mp2rage", "lookup").fit(model, signal, SEVEN_TESLA)
    np.testing.assert_allclose(found.maps["t1"], T1, rtol=1e-4)


def test_air_and_nothing_are_unusable() -> None:
    found = lookup(np.array([[0.0, 0.0], [np.nan, 1.0]]))
    assert found.status.tolist() == [Status.UNUSABLE] * 2


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"inversion_time": np.array([0.3, 2.7])}, "before the first train"),
        ({"inversion_time": np.array([0.8, 1.7])}, "between the trains"),
        ({"cycle_time": np.asarray(3.0)}, "after the second train"),
        ({"repetition_time": np.asarray(7.0)}, "NumberShots"),
        ({"shots": np.array([80.0])}, "two numbers"),
    ],
)
def test_trains_that_overlap_are_refused(changes: dict[str, np.ndarray], seen: str) -> None:
    with pytest.raises(InputError, match=seen):
        mp2rage(**changes)
