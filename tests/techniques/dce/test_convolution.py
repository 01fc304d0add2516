from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.integrate import quad

from bids_qmri.techniques.dce.convolution import K_MAX, exponential_moments, response_table
from bids_qmri.techniques.dce.protocol import DceProtocol

FRAMES = np.array([0.0, 10.0, 31.0, 60.0, 90.5, 240.0])


def protocol(aif_time: list[float], aif: list[float], frames: np.ndarray = FRAMES) -> DceProtocol:
    return DceProtocol(frames, np.array(aif_time), np.array(aif))


def tissue(proto: DceProtocol, kep: float, delay: float = 0.0) -> np.ndarray:
    return response_table(proto).evaluate(np.array([kep]), np.array([delay])).tissue[:, 0]


BOLUS = protocol([5.0, 12.0, 20.0, 33.0, 100.0], [0.0, 6.0, 1.5, 2.0, 0.7])


def quadrature(proto: DceProtocol, kep: float, delay: float, power: int = 0) -> np.ndarray:
    """Integrate (s - u)^power Cp(u) exp(-kep (s - u)) between the points of the input, in minutes."""

    def integrand(u: float, s: float) -> float:
        level = np.interp(u, proto.aif_time / 60, proto.aif, left=0.0)
        return float((s - u) ** power * level * np.exp(-kep * (s - u)))

    result = []
    for s in (proto.time - delay) / 60:
        knots = [u for u in proto.aif_time / 60 if u < s]
        pieces = itertools.pairwise([*knots, s])
        result.append(sum(quad(integrand, a, b, args=(s,), epsabs=1e-13, epsrel=1e-12)[0] for a, b in pieces))
    return np.array(result)


@pytest.mark.parametrize("z", [0.0, 1e-12, 1e-3, 0.099, 0.1, 0.101, 1.0, 30.0, 600.0])
def test_moments_of_an_exponential_equal_their_integrals(z: float) -> None:
    decay, *moments = exponential_moments(np.array([z]))
    edge = min(1.0, 50 / max(z, 1.0))
    expected = [quad(lambda v, i=i: v**i * np.exp(-z * v), 0, edge, epsabs=0)[0] for i in range(3)]
    assert decay[0] == np.exp(-z)
    np.testing.assert_allclose(np.ravel(moments), expected, rtol=1e-11)


@pytest.mark.parametrize("kep", [0.0, 1e-4, 0.1, 0.7, 2.0, 9.3, 80.0])
@pytest.mark.parametrize("delay", [0.0, 7.3])
def test_response_and_its_derivative_equal_quadrature(kep: float, delay: float) -> None:
    response = response_table(BOLUS).evaluate(np.array([kep]), np.array([delay]))
    np.testing.assert_allclose(response.tissue[:, 0], quadrature(BOLUS, kep, delay), rtol=1e-8, atol=1e-10)
    by_kep = -quadrature(BOLUS, kep, delay, power=1)
    np.testing.assert_allclose(response.tissue_by_kep[:, 0], by_kep, rtol=2e-6, atol=1e-8)


def test_a_constant_input_fills_the_tissue_exponentially() -> None:
    # held after the last point, so two points make a step of any length
    step = protocol([0.0, 1.0], [2.0, 2.0])
    expected = 2.0 * (1 - np.exp(-0.4 * FRAMES / 60)) / 0.4
    np.testing.assert_allclose(tissue(step, 0.4), expected, rtol=1e-8)


def test_without_washout_the_response_is_the_integral_of_the_input() -> None:
    ramp = protocol([0.0, 60.0, 120.0], [0.0, 3.0, 3.0])
    t = FRAMES / 60
    expected = np.where(t < 1, 1.5 * t**2, 1.5 + 3 * (t - 1))
    np.testing.assert_allclose(tissue(ramp, 0.0), expected, rtol=1e-9, atol=1e-12)


def test_an_impulse_leaves_an_exponential() -> None:
    impulse = protocol([0.0, 0.01, 0.02], [0.0, 60 * 100.0, 0.0], frames=np.array([30.0, 90.0]))
    np.testing.assert_allclose(
        tissue(impulse, 1.3), np.exp(-1.3 * (np.array([30.0, 90.0]) - 0.01) / 60), rtol=1e-7
    )


def test_the_input_is_zero_before_its_first_point_and_held_after_its_last() -> None:
    short = protocol([20.0, 40.0], [4.0, 1.0])
    response = response_table(short).evaluate(np.array([0.5]), np.array([0.0]))
    np.testing.assert_array_equal(response.tissue[:2, 0], 0.0)
    np.testing.assert_allclose(response.plasma[:, 0], [0, 0, 4 - 3 * 11 / 20, 1, 1, 1])


def test_interpolation_between_rates_is_accurate_to_1e_8() -> None:
    rates = np.geomspace(0.003, 0.9 * K_MAX, 400)
    table = response_table(BOLUS).evaluate(rates, np.zeros(400)).tissue[-2]
    exact = np.array(
        [
            quadrature(protocol([5, 12, 20, 33, 100], [0, 6, 1.5, 2, 0.7], FRAMES[4:5]), k, 0)[0]
            for k in rates[::20]
        ]
    )
    np.testing.assert_allclose(table[::20], exact, rtol=1e-8)


def test_rates_that_are_not_tabulated_are_refused() -> None:
    for kep in (-0.1, 1.01 * K_MAX):
        with pytest.raises(ValueError, match="kep must lie between 0 and 100"):
            tissue(BOLUS, kep)


def test_not_a_number_stays_one_and_spares_its_neighbours() -> None:
    response = response_table(BOLUS).evaluate(np.array([np.nan, 0.5]), np.array([0.0, 0.0]))
    assert np.isnan(response.tissue[-1, 0])
    assert np.isfinite(response.tissue[:, 1]).all()


def test_the_table_is_made_once_per_protocol() -> None:
    assert response_table(BOLUS) is response_table(BOLUS)


def test_points_on_the_straight_lines_of_the_input_change_nothing() -> None:
    time = np.union1d(BOLUS.aif_time, np.arange(5.0, 100.0, 0.7))
    finer = DceProtocol(FRAMES, time, np.interp(time, BOLUS.aif_time, BOLUS.aif))
    for kep in (0.05, 0.7, 6.0):
        np.testing.assert_allclose(tissue(finer, kep), tissue(BOLUS, kep), rtol=2e-8, atol=1e-12)


def test_the_response_to_a_sum_of_inputs_is_the_sum_of_responses() -> None:
    time = [5.0, 12.0, 20.0, 33.0, 100.0]
    other = [1.0, 0.0, 4.0, 4.0, 2.0]
    both = protocol(time, [a + b for a, b in zip(BOLUS.aif, other, strict=True)])
    parts = tissue(BOLUS, 0.8) + tissue(protocol(time, other), 0.8)
    np.testing.assert_allclose(tissue(both, 0.8), parts, rtol=1e-12)


def test_only_time_differences_matter() -> None:
    later = DceProtocol(FRAMES + 1000, BOLUS.aif_time + 1000, BOLUS.aif)
    np.testing.assert_allclose(tissue(later, 0.8), tissue(BOLUS, 0.8), rtol=1e-10, atol=1e-12)


def test_the_response_obeys_its_differential_equation() -> None:
    frames = np.array([50.0, 50.001])
    response = response_table(protocol([5, 12, 20, 33, 100], [0, 6, 1.5, 2, 0.7], frames)).evaluate(
        np.array([1.7]), np.array([0.0])
    )
    rate = np.diff(response.tissue[:, 0]) / (0.001 / 60)
    expected = response.plasma.mean() - 1.7 * response.tissue.mean()
    np.testing.assert_allclose(rate, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "points", [[0.0, 10.0, 20.0, 30.0], [0.0, 0.001, 0.002, 7.0, 7.0005, 60.0, 900.0], [3.0, 4.0]]
)
def test_times_are_found_in_the_segment_that_holds_them(points: list[float]) -> None:
    table = response_table(protocol(points, [1.0] * len(points)))
    times = np.concatenate([np.linspace(-5, 1000, 5000), points]) / 60
    found = table._segment(times)
    # a time at a point may be counted to either side: the response is continuous there
    low, high = (np.searchsorted(table.points, times + shift) for shift in (-1e-9, 1e-9))
    assert np.all((found >= low) & (found <= high))
