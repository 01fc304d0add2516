"""Rician noise: simulation against its moments, information against its defining integral."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import i0e, i1e
from scipy.stats import rice

from bids_qmri.physics.noise import (
    add_rician_noise,
    bessel_ratio,
    log_bessel_i0,
    rician_information,
    rician_moments,
)

SNRS = np.array([0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 15.9, 16.1, 30.0])


def test_simulated_magnitudes_have_rician_moments() -> None:
    snr, sigma = np.repeat([[0.0], [1.0], [5.0]], 200_000, axis=1), 2.0
    images = add_rician_noise(sigma * snr, sigma, np.random.default_rng(1))
    mean, variance = rician_moments(snr[:, 0])
    np.testing.assert_allclose(images.mean(axis=1), sigma * mean, rtol=0.005)
    np.testing.assert_allclose(images.var(axis=1), sigma**2 * variance, rtol=0.01)


def test_moments_are_those_of_the_distribution() -> None:
    mean, variance = rician_moments(SNRS)
    np.testing.assert_allclose(mean, rice.mean(SNRS))
    np.testing.assert_allclose(variance, rice.var(SNRS), rtol=1e-9)


def test_background_is_rayleigh() -> None:
    mean, variance = rician_moments(np.zeros(1))
    assert mean[0] == pytest.approx(np.sqrt(np.pi / 2))
    assert variance[0] == pytest.approx(2 - np.pi / 2)


@pytest.mark.parametrize("snr", SNRS)
def test_information_is_the_variance_of_the_score(snr: float) -> None:
    def squared_score(y: float) -> float:
        density = y * np.exp(-0.5 * (y - snr) ** 2) * i0e(y * snr)
        return float(density * (y * i1e(y * snr) / i0e(y * snr) - snr) ** 2)

    expected = quad(squared_score, max(snr - 10, 0), snr + 10, epsabs=1e-12, limit=200)[0]
    assert rician_information(np.array([snr]))[0] == pytest.approx(expected, abs=1e-5)


def test_information_grows_from_nothing_to_that_of_gaussian_noise() -> None:
    information = rician_information(np.linspace(0, 100, 5001))
    assert information[0] == pytest.approx(0, abs=1e-12)
    assert np.all(np.diff(information) > 0)
    assert information[-1] == pytest.approx(1, abs=1e-4)


def test_bessel_functions_do_not_overflow() -> None:
    large = np.array([1e3, 1e8])
    np.testing.assert_allclose(bessel_ratio(large), 1 - 0.5 / large, atol=1e-6)
    np.testing.assert_allclose(log_bessel_i0(large), large - 0.5 * np.log(2 * np.pi * large), rtol=1e-6)
    assert bessel_ratio(np.zeros(1))[0] == 0
    assert log_bessel_i0(np.zeros(1))[0] == 0
