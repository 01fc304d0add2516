"""Integrals over linear parameters, and the special functions that they need."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import truncnorm

from bids_qmri.catalogue import get_model
from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.estimators.posterior.problem import _log_bessel_i0, truncated_normal
from bids_qmri.physics.noise import log_bessel_i0
from bids_qmri.techniques.dce.protocol import DceProtocol

AIF_TIME = np.arange(0, 160.0)
DCE = DceProtocol(np.arange(9, 154, 18.0), AIF_TIME, 6 * (AIF_TIME / 8) * np.exp(1 - AIF_TIME / 8) + 0.5)


@pytest.mark.parametrize("centre", [-1.5, 0.2, 0.9, 1.0, 3.0])
@pytest.mark.parametrize("sd", [0.05, 0.5, 20.0])
def test_truncated_normal_is_that_of_scipy(centre, sd):
    exact = truncnorm((0.1 - centre) / sd, (0.9 - centre) / sd, centre, sd)
    _, mean, square = truncated_normal(np.array([centre]), np.array([sd]), 0.1, 0.9)
    assert mean[0] == pytest.approx(exact.mean(), rel=1e-4)
    assert square[0] - mean[0] ** 2 == pytest.approx(exact.var(), rel=0.02)


@pytest.mark.parametrize("centre", [-3.0, 0.2, 1.0, 2.0])
def test_mass_of_truncated_normal_is_relative_to_the_nearest_point(centre):
    x = np.linspace(0.1, 0.9, 20_001)
    exponent = -0.5 * ((x - centre) / 0.3) ** 2
    mass = np.trapezoid(np.exp(exponent - exponent.max()), x)
    assert truncated_normal(np.array([centre]), np.array([0.3]), 0.1, 0.9)[0][0] == pytest.approx(
        np.log(mass), abs=1e-6
    )


def test_a_fixed_amount_is_itself():
    log_mass, mean, square = truncated_normal(np.array([0.7]), np.array([0.1]), 0.2, 0.2)
    assert (log_mass[0], mean[0], square[0]) == (0.0, 0.2, pytest.approx(0.04))


def test_logarithm_of_the_bessel_function():
    x = np.concatenate([[0.0], np.geomspace(1e-3, 1e8, 2000)])
    assert np.abs(_log_bessel_i0(x) - log_bessel_i0(x)).max() < 1.2e-4


def test_concentrations_equal_a_plain_sum_over_a_dense_grid():
    model = get_model("etofts")
    box = {"kep": (0.1, 2.0), "ve": (0.01, 0.7), "vp": (0.001, 0.05), "t0": (4.0, 4.0)}
    counts = (150, 80, 25, 1)
    axes = [
        lo + (hi - lo) * (np.arange(n) + 0.5) / n for (lo, hi), n in zip(box.values(), counts, strict=True)
    ]
    theta = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    truth = np.array([[0.8], [0.3], [0.02], [4.0]])
    signal = model.signal(truth, DCE) + np.random.default_rng(1).normal(0, 0.1, (9, 1))
    misfit = np.sum((model.signal(theta, DCE) - signal) ** 2, axis=0) / 0.1**2
    mass = np.exp(-0.5 * (misfit - misfit.min()))
    fit = Bayes(exact=True).fit(model, signal.T, DCE, sigma=0.1, bounds=box)
    values = {"kep": theta[0], "ve": theta[1], "vp": theta[2], "ktrans": theta[0] * theta[1]}
    for name, value in values.items():
        mean = np.average(value, weights=mass)
        sd = np.sqrt(np.average((value - mean) ** 2, weights=mass))
        assert fit.maps[name][0] == pytest.approx(mean, abs=0.01 * sd)
        assert fit.sd[name][0] == pytest.approx(sd, rel=0.01)
