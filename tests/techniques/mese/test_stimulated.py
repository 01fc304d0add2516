"""The extended phase graph: against a slow, complex one; symmetries, recovery, error bars."""

from __future__ import annotations

import numpy as np
import pytest
from checks import assert_jacobian, coverage, drawn, fitted, worst
from contrasts import WEAK_PULSES

from bids_qmri.catalogue import get_model
from bids_qmri.techniques.mese.model import MESE
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol
from bids_qmri.techniques.mese.stimulated import EPG

PROTOCOLS = {
    "160 degrees": WEAK_PULSES,
    "120 degrees": SpinEchoProtocol(0.008 * np.arange(1, 33), np.asarray(np.deg2rad(120.0))),
    "three": SpinEchoProtocol(0.02 * np.arange(1, 4), np.asarray(np.deg2rad(150.0))),
}


def slow_graph(t2: float, angle: float, t1: float, spacing: float, count: int) -> np.ndarray:
    """Return the echoes of one voxel: F and Z states as complex numbers, in steps of half a spacing.

    Weigel 2015, J Magn Reson Imaging 41:266, written down step by step: excitation about y, refocusing about
    x, relaxation with recovery and a shift of one order in each half of an interval.
    """
    orders = 2 * count + 2
    plus, minus, along = (np.zeros(orders, dtype=complex) for _ in range(3))
    plus[0] = minus[0] = 1.0
    e1, e2 = np.exp(-spacing / 2 / t1), np.exp(-spacing / 2 / t2)
    c, s = np.cos(angle / 2) ** 2, np.sin(angle / 2) ** 2
    turn = np.array(
        [
            [c, s, -1j * np.sin(angle)],
            [s, c, 1j * np.sin(angle)],
            [-0.5j * np.sin(angle), 0.5j * np.sin(angle), np.cos(angle)],
        ]
    )
    echoes = []
    for _ in range(count):
        for half in (0, 1):
            plus, minus, along = e2 * plus, e2 * minus, e1 * along
            along[0] += 1.0 - e1
            plus, minus = np.roll(plus, 1), np.roll(minus, -1)
            minus[-1] = 0.0
            plus[0] = np.conj(minus[0])
            if half == 0:
                plus, minus, along = turn @ np.stack([plus, minus, along])
        echoes.append(abs(plus[0]))
    return np.array(echoes)


@pytest.mark.parametrize("degrees", [180.0, 165.0, 120.0, 60.0])
@pytest.mark.parametrize("t1", [0.3, 1.0, 4.0])
def test_echoes_are_those_of_a_slow_graph(degrees: float, t1: float) -> None:
    protocol = SpinEchoProtocol(0.01 * np.arange(1, 33), np.asarray(np.deg2rad(degrees)))
    model = get_model("epg", t1=t1)
    for t2 in (0.015, 0.08, 0.25):
        for b1 in (0.6, 0.85, 1.0):
            found = model.signal(np.array([[t2], [b1], [1.0]]), protocol)[:, 0]
            expected = slow_graph(t2, b1 * np.deg2rad(degrees), t1, 0.01, 32)
            np.testing.assert_allclose(np.abs(found), expected, atol=1e-6)


def test_perfect_refocusing_leaves_an_exponential() -> None:
    protocol = SpinEchoProtocol(WEAK_PULSES.echo_time)
    theta = np.array([[0.05, 0.1], [1.0, 1.0], [3.0, 4.0]])
    np.testing.assert_allclose(EPG.signal(theta, protocol), MESE.signal(theta[[0, 2]], protocol))


def test_more_than_180_degrees_look_like_less() -> None:
    protocol = SpinEchoProtocol(WEAK_PULSES.echo_time)
    theta = np.array([[0.08, 0.08], [0.85, 1.15], [1.0, 1.0]])
    under, over = EPG.signal(theta, protocol).T
    np.testing.assert_allclose(under, over)


def test_the_first_echo_is_the_square_of_the_sine_of_half_the_angle() -> None:
    theta = np.array([[0.1], [0.8], [1.0]])
    first = EPG.signal(theta, WEAK_PULSES)[0, 0]
    assert first == pytest.approx(np.sin(0.4 * np.deg2rad(160)) ** 2 * np.exp(-0.1))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_jacobian_is_the_derivative_of_the_signal(name: str) -> None:
    assert_jacobian(EPG, drawn(EPG, 40), PROTOCOLS[name])


def test_jacobian_with_a_field_of_every_voxel() -> None:
    assert_jacobian(EPG, drawn(EPG, 5), WEAK_PULSES.with_b1([0.7, 0.8, 0.9, 1.0, 1.1]))


@pytest.mark.parametrize("name", ["160 degrees", "120 degrees"])
def test_noise_free_signals_give_their_parameters_back(name: str) -> None:
    theta = drawn(EPG, 300)
    clean = EPG.signal(theta, PROTOCOLS[name])
    assert worst(fitted(EPG, clean, PROTOCOLS[name]), EPG, theta) < 1e-4


def test_a_field_that_is_known_leaves_t2_alone() -> None:
    theta = drawn(EPG, 200)
    field, theta[1] = theta[1].copy(), 1.0
    protocol = WEAK_PULSES.with_b1(field)
    found = fitted(EPG, EPG.signal(theta, protocol), protocol, bounds={"b1": (1.0, 1.0)})
    np.testing.assert_allclose(found.maps["t2"], theta[0], rtol=1e-4)


def test_an_exponential_is_wrong_where_pulses_are_weak_and_the_graph_is_not() -> None:
    theta = np.array([[0.06], [0.8], [1.0]])
    signal = EPG.signal(theta, WEAK_PULSES)
    assert fitted(MESE, signal, WEAK_PULSES).maps["t2"][0] > 1.15 * 0.06
    assert fitted(EPG, signal, WEAK_PULSES).maps["t2"][0] == pytest.approx(0.06, rel=1e-4)


@pytest.mark.parametrize("snr", [30, 100])
def test_error_bars_hold_two_thirds_of_the_truth(snr: float) -> None:
    assert coverage(EPG, PROTOCOLS["120 degrees"], "t2", snr) == pytest.approx(0.68, abs=0.05)


@pytest.mark.parametrize(
    ("times", "seen"),
    [
        ([0.01, 0.02], "3 are needed"),
        ([0.01, 0.02, 0.04], "even train that starts with its spacing"),
        ([0.02, 0.03, 0.04, 0.05], "even train that starts with its spacing"),
    ],
)
def test_uneven_trains_and_late_ones_are_refused(times: list[float], seen: str) -> None:
    assert seen in EPG.obstacle(SpinEchoProtocol(np.array(times)))
    assert EPG.obstacle(SpinEchoProtocol(np.array([0.0115, 0.023, 0.0345]))) == ""
