"""Rician maximum likelihood: less bias than least squares, honest error bars, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import CASES, IVIM_PROTOCOL, VFA_PROTOCOL, draw, estimates, narrow

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Status
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.classical.mle import Mle
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA


def test_likelihood_removes_the_bias_of_the_noise_floor() -> None:
    theta = draw(IVIM, 4000, seed=1)
    theta[-1] = 1.0
    signal = add_rician_noise(IVIM.signal(theta, IVIM_PROTOCOL), 0.2, np.random.default_rng(1)).T
    bias = {
        fit: np.mean(
            fit.fit(IVIM, signal, IVIM_PROTOCOL, sigma=0.2, bounds=narrow(IVIM)).maps["d"] - theta[0]
        )
        for fit in (Lsq(), Mle())
    }
    assert abs(bias[Mle()]) < 0.2 * abs(bias[Lsq()])


def test_amplitude_is_unbiased_where_magnitudes_are_not() -> None:
    protocol = DiffusionProtocol(np.zeros(60))
    theta = np.repeat([[1e-3], [0.05], [0.0], [1.0]], 500, axis=1)
    bounds = {"d": (1e-3, 1e-3), "dstar": (0.05, 0.05), "f": (0.0, 0.0)}
    signal = add_rician_noise(IVIM.signal(theta, protocol), 0.7, np.random.default_rng(2)).T
    result = Mle().fit(IVIM, signal, protocol, sigma=0.7, bounds=bounds)
    assert result.maps["s0"].mean() == pytest.approx(1, abs=0.02)
    assert signal.mean() > 1.2
    assert result.maps["s0"].std() == pytest.approx(result.sd["s0"].mean(), rel=0.1)


@pytest.mark.parametrize("name", CASES)
def test_high_signal_is_fitted_like_least_squares(name: str) -> None:
    model, protocol = CASES[name]
    theta = draw(model, 200, seed=3)
    clean = model.signal(theta, protocol)
    sigma = clean.min() / 1e4
    result = Mle().fit(model, clean.T, protocol, sigma=sigma)
    np.testing.assert_allclose(estimates(model, result), theta, rtol=1e-4)
    squares = Lsq().fit(model, clean.T, protocol, sigma=sigma)
    for p in model.parameters:
        np.testing.assert_allclose(result.sd[p.name], squares.sd[p.name], rtol=1e-3)


def test_noise_is_estimated_where_it_is_not_given() -> None:
    theta = draw(VFA, 3000, seed=4)
    theta[-1] = 100.0
    signal = add_rician_noise(VFA.signal(theta, VFA_PROTOCOL), 0.3, np.random.default_rng(4)).T
    given = Mle().fit(VFA, signal, VFA_PROTOCOL, sigma=0.3)
    found = Mle().fit(VFA, signal, VFA_PROTOCOL)
    assert np.median(np.abs(found.maps["t1"] / given.maps["t1"] - 1)) < 0.001


def test_noise_may_differ_between_voxels() -> None:
    sigma = np.array([0.05, 0.2])
    signal = np.tile(IVIM.signal(draw(IVIM, 1), IVIM_PROTOCOL).T, (2, 1))
    both = Mle().fit(IVIM, signal, IVIM_PROTOCOL, sigma=sigma, bounds=narrow(IVIM))
    for v in range(2):
        alone = Mle().fit(IVIM, signal[v : v + 1], IVIM_PROTOCOL, sigma=sigma[v], bounds=narrow(IVIM))
        assert alone.maps["d"][0] == pytest.approx(both.maps["d"][v])


def test_negative_magnitudes_are_unusable() -> None:
    signal = VFA.signal(draw(VFA, 2), VFA_PROTOCOL).T
    signal[0, 0] = -0.001
    result = Mle().fit(VFA, signal, VFA_PROTOCOL, sigma=1e-4)
    np.testing.assert_array_equal(result.status, [Status.UNUSABLE, Status.OK])


def test_signal_below_the_noise_floor_has_no_estimate() -> None:
    result = Mle().fit(VFA, np.full((1, 4), 0.1), VFA_PROTOCOL, sigma=1.0)
    assert result.status[0] == Status.UNUSABLE
    assert np.isnan(result.maps["t1"][0])


def test_noise_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="use lsq"):
        Mle().fit(VFA, np.ones((1, 4)), VFA_PROTOCOL, sigma=0.0)


def test_concentrations_are_refused() -> None:
    with pytest.raises(InputError, match="etofts has no estimator 'mle'; needed: one of lsq"):
        Mle().fit(get_model("etofts"), np.ones((1, 4)), VFA_PROTOCOL, sigma=1.0)
