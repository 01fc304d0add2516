from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad

from bids_qmri.errors import InputError, UsageError
from bids_qmri.physics.arterial_input import (
    POPULATION_INPUTS,
    georgiou,
    parker,
    plasma_from_blood,
    population_aif,
    rata,
    weinmann,
)

Curve = Callable[[np.ndarray], np.ndarray]
FINE = np.arange(0.0, 300.0, 0.05)


@pytest.mark.parametrize("name", POPULATION_INPUTS)
def test_nothing_arrives_before_the_bolus_and_nothing_is_negative(name: str) -> None:
    curve = POPULATION_INPUTS[name].concentration
    np.testing.assert_array_equal(curve([-60.0, -1e-6]), 0.0)
    assert np.all(curve(FINE) >= 0)
    assert np.all(np.isfinite(curve([600.0, 3600.0])))


@pytest.mark.parametrize("name", POPULATION_INPUTS)
def test_every_input_names_its_compartment_and_its_publication(name: str) -> None:
    population = POPULATION_INPUTS[name]
    assert population.compartment in {"blood", "plasma"}
    assert population.reference.startswith("10.")


@pytest.mark.parametrize(("curve", "peak", "time"), [(parker, 6.07, 10.4), (rata, 8.06, 8.6)])
def test_height_and_time_of_the_peak(curve: Curve, peak: float, time: float) -> None:
    values = curve(FINE)
    assert values.max() == pytest.approx(peak, abs=0.01)
    assert FINE[values.argmax()] == pytest.approx(time, abs=0.1)


def test_rata_washout_one_two_and_three_minutes_after_arrival() -> None:
    np.testing.assert_allclose(rata([60.0, 120.0, 180.0]), [1.50, 1.25, 1.04], atol=0.005)


def test_rata_as_plasma_washes_out_like_parker_in_plasma() -> None:
    late = np.array([60.0, 120.0, 180.0])
    np.testing.assert_allclose(rata(late), plasma_from_blood(parker(late), 0.42), rtol=0.05)


def test_rata_bolus_is_the_convolution_of_its_cosine_with_an_exponential() -> None:
    # before the recirculation at 0.2533 min only the dispersed bolus is there
    t, m, k = 0.15, 32.8855, 9.1868
    expected, _ = quad(lambda u: (1 - np.cos(m * u)) * np.exp(-k * (t - u)), 0, t)
    assert rata(60 * t) == pytest.approx(7.9785 * k * expected, rel=1e-9)


def test_weinmann_starts_at_the_dose_over_the_distribution_volume() -> None:
    assert weinmann(0.0) == pytest.approx(0.1 * (3.99 + 4.78))


def test_georgiou_recirculation_settles_at_one_passage_per_interval() -> None:
    # densities of ever wider passages add up to 1 / (mean transit): the washout is then exponential
    tail = georgiou([480.0, 540.0]) / np.exp(-0.11269 * np.array([8.0, 9.0]))
    assert tail[1] / tail[0] == pytest.approx(1.0, abs=1e-3)


def test_plasma_holds_all_agent_of_the_blood() -> None:
    np.testing.assert_allclose(plasma_from_blood([0.0, 3.0], 0.4), [0.0, 5.0])


@pytest.mark.parametrize("hematocrit", [42.0, 1.0, -0.1, np.nan])
def test_a_haematocrit_that_is_no_fraction_is_refused(hematocrit: float) -> None:
    with pytest.raises(InputError, match=r"Hematocrit: .*needed: a fraction"):
        plasma_from_blood(1.0, hematocrit)


@pytest.mark.parametrize("name", POPULATION_INPUTS)
def test_haematocrit_divides_blood_once_and_plasma_never(name: str) -> None:
    time, plasma = population_aif(name, 20.0, 150.0, hematocrit=0.4)
    factor = 0.6 if POPULATION_INPUTS[name].compartment == "blood" else 1.0
    np.testing.assert_allclose(plasma * factor, POPULATION_INPUTS[name].concentration(time - 20.0))


def test_samples_run_from_arrival_to_the_last_frame() -> None:
    time, plasma = population_aif("parker", 12.3, 153.0, hematocrit=0.4)
    assert time[0] == 12.3
    assert 153.0 <= time[-1] < 153.5
    assert time.shape == plasma.shape


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'parkr'.*georgiou, parker, rata, weinmann"):
        population_aif("parkr", 0.0, 100.0, 0.4)


def test_a_bolus_after_the_scan_is_refused() -> None:
    with pytest.raises(InputError, match="arrives at 200 s but the last frame is at 150 s"):
        population_aif("parker", 200.0, 150.0, 0.4)


def test_parker_area_under_the_bolus_is_that_of_its_gaussians() -> None:
    # 0.809 + 0.330 mmol/L min, less the sliver of the first Gaussian before arrival, plus the washout
    washout, _ = quad(lambda t: 1.05 * np.exp(-0.1685 * t) / (1 + np.exp(-38.078 * (t - 0.483))), 0, 5)
    area = np.trapezoid(parker(FINE), FINE / 60)
    assert area == pytest.approx(0.809 + 0.330 + washout, rel=2e-3)


def test_georgiou_first_passage_is_a_gamma_variate_times_the_washout() -> None:
    from scipy.stats import gamma

    t = np.array([0.02, 0.06, 0.10, 0.125])
    washout = 0.374303 * np.exp(-0.11269 * t) + 0.331186 * np.exp(-1.174512 * t)
    washout += 10.060879 * np.exp(-16.019627 * t)
    np.testing.assert_allclose(
        georgiou(60 * t), washout * gamma(6.266968, scale=0.03207892).pdf(t), rtol=1e-9
    )


@pytest.mark.parametrize("name", POPULATION_INPUTS)
def test_shape_of_the_times_is_kept(name: str) -> None:
    curve = POPULATION_INPUTS[name].concentration
    assert curve(30.0).shape == ()
    assert curve([[10.0, 20.0], [30.0, 40.0]]).shape == (2, 2)
    np.testing.assert_allclose(curve([[10.0], [20.0]])[:, 0], [curve(10.0), curve(20.0)])


@pytest.mark.parametrize("name", POPULATION_INPUTS)
def test_half_second_samples_carry_the_area_of_the_curve(name: str) -> None:
    time, plasma = population_aif(name, 0.0, 300.0, hematocrit=0.4)
    fine_time, fine = population_aif(name, 0.0, 300.0, hematocrit=0.4, step=0.02)
    assert np.trapezoid(plasma, time) == pytest.approx(np.trapezoid(fine, fine_time), rel=5e-4)
