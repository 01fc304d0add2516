"""Legendre moments of directions and of sticks: against integrals and known limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf, eval_legendre

from bids_qmri.techniques.noddi.watson import DEGREES, concentration, stick_moments, watson_moments


@pytest.mark.parametrize("odi", [0.0007, 0.01, 0.0203, 0.1, 0.37, 0.8, 0.999])
def test_moments_of_directions_are_those_of_the_density(odi: float) -> None:
    kappa = float(concentration(np.array(odi)))
    near = 1.0 - min(1.0, 40.0 / kappa)
    total = quad(lambda t: np.exp(kappa * (t * t - 1.0)), near, 1.0, epsabs=0, epsrel=1e-12)[0]
    for degree, moment in zip(DEGREES, watson_moments(np.array([odi]))[0][:, 0], strict=True):
        mean = quad(
            lambda t, n=degree: np.exp(kappa * (t * t - 1.0)) * eval_legendre(n, t),
            near,
            1.0,
            epsabs=1e-12,
            limit=200,
        )
        assert moment == pytest.approx(mean[0] / total, abs=2e-7)


def test_slope_is_the_derivative_of_the_moments() -> None:
    odi = np.random.default_rng(0).uniform(0.001, 0.999, 500)
    higher, lower = watson_moments(odi + 1e-6)[0], watson_moments(odi - 1e-6)[0]
    np.testing.assert_allclose(watson_moments(odi)[1], (higher - lower) / 2e-6, atol=1e-6)


def test_without_dispersion_every_moment_is_one() -> None:
    np.testing.assert_allclose(watson_moments(np.zeros(1))[0], 1.0, atol=1e-12)


def test_uniform_directions_have_no_moment_but_the_first() -> None:
    np.testing.assert_allclose(watson_moments(np.ones(1))[0][:, 0], DEGREES == 0, atol=1e-12)


def test_moments_are_smooth_between_parallel_and_almost_parallel() -> None:
    first = np.linspace(0.0, 2e-3, 101)
    expected = 1.0 - np.pi / 8.0 * np.outer(DEGREES * (DEGREES + 1), first)
    np.testing.assert_allclose(watson_moments(first)[0], expected, atol=0.02)
    assert np.all(np.diff(watson_moments(first)[0][1:], axis=1) < 0)


def test_mean_signal_of_a_stick_is_the_error_function() -> None:
    x = np.array([0.1, 1.19, 3.4, 17.0])
    root = np.sqrt(x)
    np.testing.assert_allclose(stick_moments(x)[0], np.sqrt(np.pi) / 2 * erf(root) / root, rtol=1e-13)


def test_stick_without_weighting_is_the_same_from_everywhere() -> None:
    np.testing.assert_allclose(stick_moments(np.zeros(1))[:, 0], DEGREES == 0, atol=1e-12)
