"""How often one standard deviation of a tensor fit covers the truth."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.estimators.dipy.tensor import Nlls, Ols, Restore, Wls
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.dti.model import KURTOSIS, TENSOR, Cumulants


def directions(n: int) -> np.ndarray:
    """Return n unit vectors spread over the sphere (golden angle spiral)."""
    z = 1 - (2 * np.arange(n) + 1) / n
    angle = np.pi * (1 + 5**0.5) * np.arange(n)
    ring = np.sqrt(1 - z**2)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)


def shells(*bvals: float, n: int = 20, n_b0: int = 2) -> DiffusionProtocol:
    """Return a protocol of b = 0 images and n directions on every shell."""
    b = np.concatenate([np.zeros(n_b0), *[np.full(n, value) for value in bvals]])
    g = np.concatenate([np.zeros((n_b0, 3)), *[directions(n) for _ in bvals]])
    return DiffusionProtocol(b, g)


def tissue(model: Cumulants, n_voxels: int, seed: int) -> np.ndarray:
    """Return parameters, (P, V), of two Gaussian compartments of white and grey matter, S0 = 1."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(n_voxels, 3, 3)))[0]
    share = rng.uniform(0.3, 0.6, n_voxels)[:, None, None]
    parts = []
    for axial, radial in (((1.1e-3, 1.6e-3), (0.15e-3, 0.5e-3)), ((1.3e-3, 1.9e-3), (0.6e-3, 1.0e-3))):
        first, second = rng.uniform(*axial, n_voxels), rng.uniform(*radial, n_voxels)
        values = np.stack([first, second, 0.9 * second], axis=1)
        parts.append((vectors * values[:, None]) @ vectors.transpose(0, 2, 1))
    mean = share * parts[0] + (1 - share) * parts[1]
    maps = {"s0": np.ones(n_voxels)}
    w = np.zeros((n_voxels, 3, 3, 3, 3))
    # Variance of the compartments, and that of their sizes, which is isotropic.
    for weight, part in (
        (share, parts[0] - mean),
        (1 - share, parts[1] - mean),
        (0.1 + 0 * share, np.eye(3) * 1e-3),
    ):
        w += (
            3
            * weight[..., None, None]
            * np.einsum(
                "vij,vkl->vijkl", np.broadcast_to(part, mean.shape), np.broadcast_to(part, mean.shape)
            )
        )
    for p in model.parameters[:-1]:
        index = tuple("xyz".index(letter) for letter in p.name[1:])
        if len(index) == 2:
            maps[p.name] = mean[(slice(None), *index)]
        else:
            i, j, k, m = index
            maps[p.name] = (w[:, i, j, k, m] + w[:, i, k, j, m] + w[:, i, m, j, k]) / 3
    return np.stack([maps[p.name] for p in model.parameters])


@pytest.mark.parametrize("sigma_given", [False, True], ids=["own", "given"])
@pytest.mark.parametrize(
    ("model", "estimator", "snr", "voxels"),
    [
        (TENSOR, Ols(), 30, 2500),
        (TENSOR, Wls(), 20, 2500),
        (TENSOR, Wls(), 50, 2500),
        (TENSOR, Nlls(), 30, 900),
        (TENSOR, Restore(), 30, 900),
        (KURTOSIS, Ols(), 50, 2500),
        (KURTOSIS, Wls(), 20, 2500),
        (KURTOSIS, Wls(), 30, 2500),
        (KURTOSIS, Wls(), 50, 2500),
        (KURTOSIS, Nlls(), 40, 900),
    ],
    ids=lambda value: getattr(value, "label", getattr(value, "name", str(value))),
)
def test_standard_deviations_cover_the_truth(model, estimator, snr, voxels, sigma_given):
    protocol = shells(1000, n=30, n_b0=6) if model is TENSOR else shells(1000, 2000, n=60, n_b0=6)
    theta = tissue(model, voxels, seed=3)
    clean = model.signal(theta, protocol).T
    signal = clean + np.random.default_rng(4).normal(0, 1 / snr, clean.shape)
    fit = estimator.fit(model, signal, protocol, sigma=1 / snr if sigma_given else None)
    truth = dict(zip([p.name for p in model.derived], model.derive(theta)[0], strict=True)) | {
        "s0": theta[-1]
    }
    for name, true in truth.items():
        known = np.isfinite(fit.sd[name]) & ((true >= 0.2) | (name != "fa"))
        assert known.mean() > 0.85, name
        covered = np.mean(np.abs(fit.maps[name] - true)[known] <= fit.sd[name][known])
        # 63 to 73 %, and 3 % more because a share of 900 to 2500 voxels scatters by 0.9 to 1.6 %.
        assert 0.60 < covered < 0.76, (name, covered)
