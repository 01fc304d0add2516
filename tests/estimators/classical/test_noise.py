"""Noise from residuals: right at any signal level, robust, and refused where there are no residuals."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import CASES, VFA_PROTOCOL, draw, narrow

from bids_qmri.errors import InputError
from bids_qmri.estimators.classical.noise import pooled_sigma
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

LEVELS = [("vfa", 50), ("vfa", 150), ("vfa", 600), ("ivim", 5), ("ivim", 20), ("ivim", 100)]


def noisy(name: str, snr: float, voxels: int = 3000) -> FloatArray:
    model, protocol = CASES[name]
    theta = draw(model, voxels, seed=1)
    theta[-1] = 1.0
    return add_rician_noise(model.signal(theta, protocol), 1 / snr, np.random.default_rng(1)).T


@pytest.mark.parametrize(("name", "snr"), LEVELS)
@pytest.mark.parametrize("wide", [True, False])
def test_noise_is_found_within_five_percent(name: str, snr: float, wide: bool) -> None:
    model, protocol = CASES[name]
    sigma = pooled_sigma(model, noisy(name, snr), protocol, bounds=None if wide else narrow(model))
    assert sigma * snr == pytest.approx(1, abs=0.05)


def test_a_tenth_of_corrupt_voxels_changes_little() -> None:
    model, protocol = CASES["ivim"]
    signal = noisy("ivim", 40)
    clean = pooled_sigma(model, signal, protocol)
    signal[::10] *= np.random.default_rng(2).uniform(0.3, 3, signal[::10].shape)
    assert pooled_sigma(model, signal, protocol) == pytest.approx(clean, rel=0.1)


def test_noise_scales_with_the_signal() -> None:
    signal = noisy("vfa", 150, 500)
    one, thousand = (pooled_sigma(VFA, scale * signal, VFA_PROTOCOL) for scale in (1.0, 1e3))
    assert thousand == pytest.approx(1e3 * one, rel=1e-4)


def test_without_residuals_there_is_no_noise_to_be_found() -> None:
    protocol = VfaProtocol([0.05, 0.3], 0.01)
    with pytest.raises(InputError, match="no residuals"):
        pooled_sigma(VFA, VFA.signal(draw(VFA, 10), protocol).T, protocol)


def test_without_voxels_there_is_no_noise_to_be_found() -> None:
    with pytest.raises(InputError, match="0 usable voxels"):
        pooled_sigma(VFA, np.zeros((3, 4)), VFA_PROTOCOL)
