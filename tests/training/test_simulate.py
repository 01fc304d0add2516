"""Noise of simulated signals is that of equations 7 and 8."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import rician_moments
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.training.curves import simulate
from bids_qmri.training.recipe import parse_recipe, recipe_text

COUNT = 20_000


def test_magnitudes_are_rician_with_the_amplitude_over_snr_as_sigma() -> None:
    protocol = VfaProtocol(np.deg2rad([2.0, 10.0, 20.0]), 0.005)
    theta = np.repeat([[1.0], [3.0]], COUNT, axis=1)
    signal, sigma = simulate(VFA, theta, protocol, np.full(COUNT, 40.0), np.random.default_rng(0))
    np.testing.assert_allclose(sigma, 3.0 / 40.0)
    mean, variance = rician_moments(VFA.signal(theta[:, :1], protocol)[:, 0] / sigma[0])
    np.testing.assert_allclose(signal.mean(axis=0), sigma[0] * mean, rtol=0.01)
    np.testing.assert_allclose(signal.var(axis=0), sigma[0] ** 2 * variance, rtol=0.04)


def test_averaged_images_are_means_of_magnitudes() -> None:
    protocol = DiffusionProtocol([0.0, 1500.0], averages=[1, 4])
    theta = np.repeat([[3e-3], [0.05], [0.1], [1.0]], COUNT, axis=1)
    signal, sigma = simulate(IVIM, theta, protocol, np.full(COUNT, 5.0), np.random.default_rng(0))
    mean, variance = rician_moments(IVIM.signal(theta[:, :1], protocol)[:, 0] / sigma[0])
    np.testing.assert_allclose(signal.mean(axis=0), sigma[0] * mean, rtol=0.01)
    np.testing.assert_allclose(signal.var(axis=0), sigma[0] ** 2 * variance / [1, 4], rtol=0.04)


def test_concentrations_get_gaussian_noise_relative_to_the_peak() -> None:
    time = np.arange(1.0, 11.0) * 10.0
    protocol = DceProtocol(time, np.array([0.0, 10.0, 120.0]), np.array([0.0, 5.0, 1.0]))
    theta = np.repeat([[0.5], [0.3], [0.02], [2.0]], COUNT, axis=1)
    signal, sigma = simulate(EXTENDED_TOFTS, theta, protocol, np.full(COUNT, 8.0), np.random.default_rng(0))
    clean = EXTENDED_TOFTS.signal(theta[:, :1], protocol)[:, 0]
    np.testing.assert_allclose(sigma, clean.max() / 8.0)
    np.testing.assert_allclose(signal.mean(axis=0), clean, atol=0.03 * sigma[0])
    np.testing.assert_allclose(signal.std(axis=0), sigma[0], rtol=0.03)


@pytest.mark.parametrize("name", ["ncde-vfa", "ncde-ivim"])
def test_sigma_is_told_with_the_error_of_the_recipe(name: str) -> None:
    recipe = parse_recipe(recipe_text(name))
    exact, errors = 0, []
    for index in range(60):
        group = recipe.data.group(recipe.forward, recipe.protocol, np.random.default_rng([1, index]))
        amplitude = group.theta[-1]
        error = np.log(group.noise.scatter * group.snr / amplitude)
        if np.allclose(error, 0.0):
            exact += 1
        else:
            errors.append(error.std())
    assert exact / 60 == pytest.approx(recipe.data.sigma_exact, abs=0.2)
    np.testing.assert_allclose(errors, recipe.data.sigma_error, rtol=0.15)


def test_b1_varies_from_voxel_to_voxel_in_some_protocols() -> None:
    recipe = parse_recipe(recipe_text("ncde-vfa"))
    seeds = [np.random.default_rng([2, index]) for index in range(60)]
    groups = [recipe.data.group(recipe.forward, recipe.protocol, rng) for rng in seeds]
    varied = [g.protocol.flip_angle for g in groups if g.protocol.flip_angle.ndim == 2]
    assert len(varied) / 60 == pytest.approx(recipe.protocol.b1_share, abs=0.2)
    for flip in varied:
        factors = flip[0] / flip[0].mean()
        assert np.ptp(factors) > 0.5
