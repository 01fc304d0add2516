"""Weighted nodes hold the posterior of every voxel, under the box and under any prior that comes later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dynamic import DCE_PROTOCOL, dynamic
from simulated import IVIM_PROTOCOL, VFA_PROTOCOL, draw

from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.estimators.posterior.nodes import likelihood_at, nodes_of, normalised
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise, VoxelNoise, add_rician_noise
from bids_qmri.physics.prior import Bell, Prior
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.units import FloatArray

VOXELS = 80
BOUNDS: dict[str, Bounds] = {
    "ivim": {"d": (2e-4, 3e-3), "dstar": (0.01, 0.2), "f": (0.0, 0.4)},
    "vfa": {"t1": (0.1, 4.0)},
    "etofts": {"kep": (0.05, 3.0), "ve": (0.01, 0.8), "vp": (0.0, 0.1), "t0": (0.0, 10.0)},
}
BELLS = {
    "ivim": Prior((("d", Bell(1.5e-3, 4e-4)), ("f", Bell(0.15, 0.05)))),
    "vfa": Prior((("t1", Bell(1.5, 0.3)),)),
    "etofts": Prior((("ve", Bell(0.3, 0.1)),)),
}


def case(name: str) -> tuple[Model, Any, FloatArray, VoxelNoise]:
    if name == "etofts":
        _, signal, sigma = dynamic(20, VOXELS)
        return EXTENDED_TOFTS, DCE_PROTOCOL, signal, VoxelNoise.thermal(sigma)
    model, protocol, snr = {"ivim": (IVIM, IVIM_PROTOCOL, 25), "vfa": (VFA, VFA_PROTOCOL, 300)}[name]
    theta = draw(model, VOXELS)
    theta[-1] = 1.0
    signal = add_rician_noise(model.signal(theta, protocol), 1 / snr, np.random.default_rng(3)).T
    return model, protocol, signal, VoxelNoise.thermal(np.full(VOXELS, 1 / snr))


@pytest.mark.parametrize("told", [False, True], ids=["box", "bell"])
@pytest.mark.parametrize("name", BOUNDS)
def test_means_over_nodes_are_posterior_means_to_a_fraction_of_their_sd(name: str, told: bool) -> None:
    model, protocol, signal, noise = case(name)
    prior = BELLS[name] if told else Prior()
    nodes = nodes_of(model, signal, protocol, noise, *model.limits(BOUNDS[name]))
    log_weight = nodes.log_weight
    for i, theta in zip(nodes.index, nodes.theta, strict=True):
        bell = prior.of(model.parameters[i].name)
        if bell is not None:
            log_weight = log_weight + bell.log_density(model.parameters[i], theta)
    weight = normalised(log_weight)
    sigma = Noise(noise.floor, noise.scatter)
    exact = Bayes().fit(model, signal, protocol, sigma=sigma, bounds=BOUNDS[name], prior=prior)
    for i, theta in zip(nodes.index, nodes.theta, strict=True):
        parameter = model.parameters[i].name
        apart = (np.sum(weight * theta, axis=1) - exact.maps[parameter]) / exact.sd[parameter]
        assert np.sqrt(np.mean(apart**2)) < 1 / 3, parameter


@pytest.mark.parametrize("name", ["ivim", "vfa"])
def test_likelihood_anywhere_is_that_of_magnitudes_with_their_best_amplitude(name: str) -> None:
    """Differences of its logarithm are those of the summed likelihood, where signals are strong."""
    model, protocol, _, _ = case(name)
    truth = draw(model, 1, seed=4)
    truth[-1] = 1.0
    sigma = 1e-3
    clean = model.signal(truth, protocol).T
    index = tuple(range(len(truth) - 1))
    lower, upper = model.limits(BOUNDS[name])
    theta = np.clip(
        truth[:-1] * np.linspace(0.97, 1.03, 7), lower[:-1, None] * 1.01, upper[:-1, None] * 0.99
    )[:, None]
    found = likelihood_at(
        model, clean, protocol, VoxelNoise.thermal(np.array([sigma])), (lower, upper), index, theta
    )[0]
    curve = model.signal(np.concatenate([theta[:, 0], np.ones((1, 7))]), protocol)
    amplitude = (clean[0] @ curve) / np.sum(curve**2, axis=0)
    expected = -0.5 * np.sum((clean[0][:, None] - amplitude * curve) ** 2, axis=0) / sigma**2
    expected -= 0.5 * np.log(np.sum(curve**2, axis=0))
    np.testing.assert_allclose(found - found[3], expected - expected[3], rtol=0.02, atol=0.1)


def test_likelihood_of_concentrations_is_normal() -> None:
    model, protocol, signal, noise = case("etofts")
    limits = model.limits(BOUNDS["etofts"])
    theta = np.random.default_rng(5).uniform(*(x[:, None, None] for x in limits), (4, VOXELS, 9))
    found = likelihood_at(model, signal, protocol, noise, limits, (0, 1, 2, 3), theta)
    curve = model.signal(theta.reshape(4, -1), protocol).reshape(-1, VOXELS, 9)
    expected = -0.5 * np.sum(((signal.T[:, :, None] - curve) / noise.scatter[:, None]) ** 2, axis=0)
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.5)


def test_weights_of_a_voxel_sum_to_one_even_far_out() -> None:
    weight = normalised(np.array([[-1e6, -1e6 + 1.0, -np.inf], [5.0, 5.0, 5.0]]))
    np.testing.assert_allclose(weight.sum(axis=1), 1.0)
    assert weight[0, 2] == 0.0
