"""Integrals over the volume fractions against sums over a fine grid."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.techniques.dce.amounts import (
    DROP,
    SHARPEST,
    Expected,
    Gram,
    Limits,
    Pairs,
    integrate,
    sharpness,
)
from bids_qmri.units import FloatArray

VE, VP = (0.01, 0.7), (0.001, 0.05)
Quadratic = tuple[float, float, float, float, float]
"""Slopes along ve and vp at 0, then the precisions: of ve, coupling, of vp."""

INSIDE = (90.0, 1400.0, 200.0, 600.0, 40_000.0)
ABOVE = (900.0, 9000.0, 900.0, 2000.0, 40_000.0)
BELOW = (-30.0, -500.0, 100.0, 200.0, 10_000.0)
NARROW_RIDGE = (90.0, 900.0, 220.0, 2050.0, 20_000.0)
BLIND = (0.01, 0.01, 0.01, 0.0, 0.01)
MORE_THAN_ALL = (1.0, 0.01, 0.01, 0.0, 0.01)
"""Next to nothing is told, by a curve that asks for more than the limit."""

EVENLY: tuple[Expected, Expected] = ((0.0, 0.0), (0.0, 0.0))
WHOLE: tuple[Limits, Limits] = ((0.01, 1.0), (0.0, 0.3))


def ours(
    density: Quadratic,
    limits: tuple[Limits, Limits] = (VE, VP),
    expected: tuple[Expected, Expected] = EVENLY,
) -> Pairs:
    ye, yp, ee, ep, pp = (np.array([[x]], dtype=np.float32) for x in density)
    products = Gram(ee[0], ep[0], pp[0])
    return integrate(ye, yp, products, np.ones(1, dtype=np.float32), limits, expected)


def summed(
    density: Quadratic,
    limits: tuple[Limits, Limits] = (VE, VP),
    expected: tuple[Expected, Expected] = EVENLY,
) -> FloatArray:
    """Return mean of ve, of vp, and standard deviations, from 600 x 600 cells."""
    ye, yp, ee, ep, pp = density
    cells = (np.arange(600) + 0.5) / 600
    ve, vp = (low + (high - low) * cells for low, high in limits)
    ve, vp = ve[:, None], vp[None]
    log_mass = ve * ye + vp * yp - 0.5 * (ee * ve**2 + 2 * ep * ve * vp + pp * vp**2)
    for values, (centre, precision) in zip((ve, vp), expected, strict=True):
        log_mass = log_mass - 0.5 * precision * (values - centre) ** 2
    mass = np.exp(log_mass - log_mass.max())
    mass /= mass.sum()
    means = np.array([np.sum(mass * x) for x in (ve, vp)])
    squares = np.array([np.sum(mass * x**2) for x in (ve, vp)])
    return np.concatenate([means, np.sqrt(squares - means**2)])


@pytest.mark.parametrize("density", [INSIDE, ABOVE, BELOW, NARROW_RIDGE, BLIND])
def test_moments_equal_those_of_a_fine_grid(density: Quadratic) -> None:
    found, expected = ours(density), summed(density)
    sd = expected[2:]
    assert np.abs(found.ve - expected[0]) < 0.08 * sd[0]
    assert np.abs(found.vp - expected[1]) < 0.08 * sd[1]
    assert np.sqrt(found.ve_square - found.ve**2) == pytest.approx(sd[0], rel=0.12)
    assert np.sqrt(found.vp_square - found.vp**2) == pytest.approx(sd[1], rel=0.12)


@pytest.mark.parametrize("width", [0.1, 0.03, 0.01])
def test_a_prior_far_from_what_next_to_no_data_say_is_what_is_answered(width: float) -> None:
    """The density at the prior over that at the peak of the likelihood is no number of single precision."""
    expected = ((0.2, width**-2), (0.05, (0.3 * width) ** -2))
    with np.errstate(over="raise", invalid="raise"):
        found = ours(MORE_THAN_ALL, WHOLE, expected)
    mean_ve, mean_vp, sd_ve, sd_vp = summed(MORE_THAN_ALL, WHOLE, expected)
    assert found.ve[0] == pytest.approx(mean_ve, abs=0.08 * sd_ve)
    assert found.vp[0] == pytest.approx(mean_vp, abs=0.08 * sd_vp)
    assert np.sqrt(found.ve_square[0] - found.ve[0] ** 2) == pytest.approx(sd_ve, rel=0.12)
    assert np.sqrt(found.vp_square[0] - found.vp[0] ** 2) == pytest.approx(sd_vp, rel=0.12)


def test_rates_and_delays_count_by_their_evidence_where_the_prior_is_far_away() -> None:
    """Two nodes whose signal rises by 1 and by 1.5 per ve: at the ve expected they differ by exp(.5 ve)."""
    expected = ((0.2, 0.02**-2), (0.05, 0.02**-2))
    columns = ((1.0, 1.5), (0.01, 0.01), (0.01, 0.01), (0.0, 0.0), (0.01, 0.01))
    ye, yp, ee, ep, pp = (np.array([x], dtype=np.float32) for x in columns)
    found = integrate(ye, yp, Gram(ee[0], ep[0], pp[0]), np.ones(1, dtype=np.float32), WHOLE, expected)
    assert found.mass[1] / found.mass[0] == pytest.approx(np.exp(0.5 * 0.2), rel=0.02)


def test_a_fixed_volume_fraction_stays_fixed() -> None:
    found = ours(INSIDE, (VE, (0.0, 0.0)))
    assert found.vp[0] == found.vp_square[0] == 0.0
    assert found.ve[0] == pytest.approx(INSIDE[0] / INSIDE[2], rel=0.02)


def test_evidence_of_two_curves_has_the_ratio_of_their_integrals() -> None:
    """Twice as precise in both directions, the same peak height: a quarter of the volume."""
    ye, yp, ee, pp = 20.0, 500.0, 100.0, 20_000.0
    energy = ye**2 / ee + yp**2 / pp
    scale = np.array([1.0, 2.0])
    products = Gram(*(np.array(x, dtype=np.float32) for x in (ee * scale**2, 0 * scale, pp * scale**2)))
    slopes = (np.array([x * scale], dtype=np.float32) for x in (ye, yp))
    found = integrate(*slopes, products, np.ones(1, dtype=np.float32), ((-9.0, 9.0), (-9.0, 9.0)))
    assert energy == pytest.approx((2 * ye) ** 2 / (4 * ee) + (2 * yp) ** 2 / (4 * pp))
    assert found.mass[0] / found.mass[1] == pytest.approx(4.0, rel=0.01)


def test_only_rates_and_delays_that_matter_are_kept() -> None:
    wide: tuple[Limits, Limits] = ((0.0, 1.0), (0.0, 1.0))
    gain = np.array([[0.0, -0.5 * DROP, -2.0 * DROP], [-2.0 * DROP, -3.0 * DROP, 0.0]]) + 100.0
    # precision 1000 along both: a gain is half of the squared slope over it
    ye = np.sqrt(2000.0 * gain).astype(np.float32)
    products = Gram(*(np.full(3, x, dtype=np.float32) for x in (1000.0, 0.0, 1000.0)))
    found = integrate(ye, np.zeros_like(ye), products, np.ones(2, dtype=np.float32), wide)
    assert found.place.tolist() == [0, 1, 5]
    assert found.first.tolist() == [0, 2]


def test_sharpness_is_bounded_where_there_is_hardly_any_noise() -> None:
    signal = np.ones((10, 2))
    found = sharpness(signal, np.array([0.1, 1e-9]))
    assert found[0] == pytest.approx(100.0)
    assert found[1] == pytest.approx(2 * SHARPEST / 10)
