"""Simulated multi-shell scans that several test files share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.noddi.model import noddi_signal


def published_scheme(shared_data: Path, name: str) -> DiffusionProtocol:
    path = shared_data / "schemes" / name
    return DiffusionProtocol(np.loadtxt(f"{path}.bval"), np.loadtxt(f"{path}.bvec").T)


def spiral(count: int) -> np.ndarray:
    """Return directions on a spiral over half of the sphere, (count, 3)."""
    z = (np.arange(count) + 0.5) / count
    angle = np.arange(count) * np.pi * (3.0 - np.sqrt(5.0))
    return np.column_stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z])


def two_shells(b0: int = 6, low: int = 24, high: int = 48) -> DiffusionProtocol:
    """Return images at b = 0, 700 and 2000 s/mm^2."""
    bvals = np.repeat([0.0, 700.0, 2000.0], [b0, low, high])
    return DiffusionProtocol(bvals, np.concatenate([np.zeros((b0, 3)), spiral(low), spiral(high)]))


def random_axes(count: int, rng: np.random.Generator) -> np.ndarray:
    axes = rng.normal(size=(count, 3))
    return np.asarray(axes / np.linalg.norm(axes, axis=1, keepdims=True))


def noisy(clean: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Return magnitudes (V, N) of signals (N, V)."""
    return np.hypot(clean + rng.normal(0, sigma, clean.shape), rng.normal(0, sigma, clean.shape)).T


def scan(
    protocol: DiffusionProtocol, count: int, snr: float, seed: int = 0, fwf: float = 0.9
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return NDI, ODI and FWF (3, V), axes (V, 3) and magnitudes (V, N); the signal at b = 0 is 1."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, [[1.0], [1.0], [fwf]], (3, count))
    axes = random_axes(count, rng)
    return truth, axes, noisy(noddi_signal(*truth, axes, protocol), 1.0 / snr, rng)
