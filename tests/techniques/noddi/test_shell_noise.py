"""The noise of a multi-shell scan is found without a model of the tissue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.noddi.model import noddi_signal
from bids_qmri.techniques.noddi.shell_noise import shell_sigma

VOXELS, S0 = 3000, 600.0


def scheme(shared_data: Path, name: str) -> DiffusionProtocol:
    path = shared_data / "schemes" / name
    return DiffusionProtocol(np.loadtxt(f"{path}.bval"), np.loadtxt(f"{path}.bvec").T)


def tissue(protocol: DiffusionProtocol, rng: np.random.Generator) -> np.ndarray:
    """Return noise-free signals of many tissues, fluid among them, (V, N)."""
    directions = rng.normal(size=(VOXELS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    ndi, odi, fwf = rng.uniform([[0.1], [0.03], [0]], [[0.9], [0.95], [0.9]], (3, VOXELS))
    return noddi_signal(ndi, odi, fwf, directions, protocol).T * rng.uniform(0.5, 1.5, (VOXELS, 1)) * S0


@pytest.mark.parametrize("name", ["noddi_s1", "hcp_like_jitter", "ukb_like", "abcd_like", "clinical_2shell"])
@pytest.mark.parametrize("snr", [10, 40])
def test_noise_is_found_within_1_5_percent(shared_data: Path, name: str, snr: float) -> None:
    rng = np.random.default_rng(5)
    protocol = scheme(shared_data, name)
    clean, sigma = tissue(protocol, rng), S0 / snr
    noisy = np.hypot(clean + rng.normal(0, sigma, clean.shape), rng.normal(0, sigma, clean.shape))
    noisy[::50] *= rng.uniform(0.5, 1.5, noisy[::50].shape)  # motion
    noisy[1::500] = np.nan
    assert shell_sigma(noisy, protocol, 1.7e-3) == pytest.approx(sigma, rel=0.015)


def test_crossing_fibres_are_no_noise_at_usual_snr(shared_data: Path) -> None:
    rng = np.random.default_rng(6)
    protocol = scheme(shared_data, "noddi_s1")
    crossing = 0.5 * (tissue(protocol, rng) + tissue(protocol, rng))
    noisy = np.hypot(crossing + rng.normal(0, 30, crossing.shape), rng.normal(0, 30, crossing.shape))
    assert shell_sigma(noisy, protocol, 1.7e-3) == pytest.approx(30, rel=0.05)


def test_signals_without_a_voxel_to_use_are_refused(shared_data: Path) -> None:
    with pytest.raises(InputError, match="no voxel"):
        shell_sigma(np.zeros((4, 81)), scheme(shared_data, "noddi_s1"), 1.7e-3)
