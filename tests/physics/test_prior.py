"""Bells are densities; quantiles, cells and moments are those of the same density."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from bids_qmri.physics.model import Parameter
from bids_qmri.physics.prior import EVEN, Bell, Prior, cells_under, moments, quantile, sample
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA

D, DSTAR, F = IVIM.parameters[:3]
BELLS = [
    (D, Bell(1.2e-3, 1e-4)),
    (D, Bell(2.8e-3, 1e-3)),
    (DSTAR, Bell(0.03, 0.3)),
    (DSTAR, Bell(0.15, 1.5)),
    (F, Bell(0.1, 0.01)),
]
LIMITS = {"d": (2e-4, 3e-3), "dstar": (0.005, 0.2), "f": (0.0, 0.7)}


def prior_of(parameter: Parameter, bell: Bell) -> Prior:
    return Prior(((parameter.name, bell),))


def mass(parameter: Parameter, bell: Bell, low: float, high: float) -> float:
    """Integrate the density per unit of the parameter, piece by piece."""
    steps = np.linspace(-60.0, 60.0, 241)
    if parameter.logarithmic:
        with np.errstate(over="ignore"):
            places = bell.centre * np.exp(steps * bell.width)
    else:
        places = bell.centre + steps * bell.width
    ends = np.unique(np.clip(places[np.isfinite(places)], low, high))

    def density(x: float) -> float:
        return float(np.exp(bell.log_density(parameter, np.array([x]))[0]))

    return float(sum(quad(density, *piece, epsabs=0)[0] for piece in pairwise(ends)))


def test_scales_are_those_meant_here() -> None:
    assert (D.logarithmic, DSTAR.logarithmic, F.logarithmic) == (False, True, False)


@pytest.mark.parametrize(("parameter", "bell"), BELLS)
def test_a_bell_integrates_to_one_over_all_numbers(parameter: Parameter, bell: Bell) -> None:
    low, high = (0.0, 1e300) if parameter.logarithmic else (-np.inf, np.inf)
    assert mass(parameter, bell, low, high) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(("parameter", "bell"), BELLS)
def test_the_centre_halves_the_mass(parameter: Parameter, bell: Bell) -> None:
    low = 0.0 if parameter.logarithmic else -np.inf
    assert mass(parameter, bell, low, bell.centre) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(("parameter", "bell"), BELLS)
def test_a_quantile_has_the_share_below_it(parameter: Parameter, bell: Bell) -> None:
    low, high = LIMITS[parameter.name]
    total = mass(parameter, bell, low, high)
    for u in (0.02, 0.3, 0.5, 0.9, 0.99):
        [value] = quantile(prior_of(parameter, bell), parameter, np.array([u]), low, high)
        assert mass(parameter, bell, low, value) / total == pytest.approx(u, abs=2e-3)


@pytest.mark.parametrize("parameter", [D, DSTAR])
def test_without_a_bell_quantiles_are_even(parameter: Parameter) -> None:
    low, high = LIMITS[parameter.name]
    u = np.array([0.0, 0.25, 1.0])
    np.testing.assert_allclose(quantile(EVEN, parameter, u, low, high), low + (high - low) * u)


@pytest.mark.parametrize("far", [0.5e-3, 5e-3])
def test_a_bell_outside_the_limits_leaves_the_nearer_end_the_likelier(far: float) -> None:
    limits = (1e-3, 2e-3)
    values = quantile(prior_of(D, Bell(far, 1e-4)), D, np.linspace(0.01, 0.99, 50), *limits)
    assert np.all((values >= limits[0]) & (values <= limits[1]))
    nearer = limits[0] if far < limits[0] else limits[1]
    assert abs(np.median(values) - nearer) < 0.5e-3


@pytest.mark.parametrize(("parameter", "bell"), BELLS)
@pytest.mark.parametrize("logarithmic", [False, True])
def test_masses_of_cells_sum_to_the_integral(parameter: Parameter, bell: Bell, logarithmic: bool) -> None:
    low, high = LIMITS[parameter.name]
    least = max(low, high * 1e-3) if logarithmic else low
    edges = np.geomspace(least, high, 41) if logarithmic else np.linspace(low, high, 41)
    cells = cells_under(prior_of(parameter, bell), parameter, edges)
    assert np.exp(cells.log_mass).sum() == pytest.approx(mass(parameter, bell, least, high), rel=0.02)
    assert np.all((cells.centre >= edges[:-1]) & (cells.centre <= edges[1:]))


def test_moments_of_cells_are_those_of_the_bell() -> None:
    bell = Bell(1.2e-3, 1e-4)
    cells = cells_under(prior_of(D, bell), D, np.linspace(-3e-3, 5.4e-3, 85))
    share = np.exp(cells.log_mass)
    mean = np.sum(share * cells.centre)
    second = np.sum(share * (cells.centre**2 + cells.sd**2))
    variance = 1e-8 * (0.75 + 0.19 * 2.2**2 + 0.06 * 6.0**2)
    assert mean == pytest.approx(1.2e-3, rel=1e-3)
    assert second - mean**2 == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("model", [IVIM, VFA, EXTENDED_TOFTS])
def test_an_even_prior_has_mean_and_sd_of_a_uniform_density(model) -> None:
    lower, upper = (np.array(x, dtype=float) for x in model.limits(model.prior(None)))
    boxed = [i for i, p in enumerate(model.parameters) if p.name != model.amplitude]
    mean, sd = moments(EVEN, model, tuple(lower), tuple(upper))
    width = (upper - lower)[boxed]
    np.testing.assert_allclose(mean[boxed], (0.5 * (lower + upper))[boxed], rtol=1e-6)
    np.testing.assert_allclose(sd[boxed], width / np.sqrt(12.0), rtol=1e-4)


def test_the_mean_of_a_product_of_what_is_independent_is_the_product_of_means() -> None:
    """Ktrans is kep times ve."""
    lower, upper = (np.array(x, dtype=float) for x in EXTENDED_TOFTS.limits(EXTENDED_TOFTS.prior(None)))
    prior = Prior((("kep", Bell(0.5, 0.3)), ("ve", Bell(0.3, 0.05))))
    mean, _ = moments(prior, EXTENDED_TOFTS, tuple(lower), tuple(upper))
    assert mean[4] == pytest.approx(mean[0] * mean[1], rel=0.01)


def test_draws_fill_limits_evenly_in_every_pair_of_parameters() -> None:
    lower, upper = (np.array(x, dtype=float) for x in IVIM.limits({**LIMITS, "s0": (0.0, 1.0)}))
    points = (sample(EVEN, IVIM, lower, upper)[:3] - lower[:3, None]) / (upper - lower)[:3, None]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        counts, _, _ = np.histogram2d(points[i], points[j], bins=4, range=[[0, 1]] * 2)
        assert 0.6 < counts.min() / counts.mean() <= counts.max() / counts.mean() < 1.4


def test_a_tail_costs_less_than_a_normal_density() -> None:
    """Six widths away, rare tissue is not unheard of: at 1e-8 it would be lost to the common one."""
    bell = Bell(1.2e-3, 1e-4)
    at = np.array([1.2e-3, 1.8e-3])
    centre, far = np.exp(bell.log_density(D, at))
    assert far / centre > 1e-3


@pytest.mark.parametrize("at", [1.0e-3, 1.21e-3, 1.5e-3, 2.5e-3])
def test_the_normal_density_that_stands_for_a_bell_has_its_slope(at: float) -> None:
    bell, step = Bell(1.2e-3, 1e-4), 1e-8
    below, above = bell.log_density(D, np.array([at - step, at + step]))
    [centre], [precision] = bell.pull(D, np.array([at]))
    assert -(at - centre) * precision == pytest.approx((above - below) / (2 * step), rel=1e-4)


def test_sidecars_name_centre_and_width() -> None:
    assert prior_of(D, Bell(1e-3, 1e-4)).sidecar() == {"d": {"Centre": 1e-3, "Width": 1e-4}}
    assert EVEN.sidecar() == {}
