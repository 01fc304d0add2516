"""Directions, and integrals over them that owe nothing to the package."""

from __future__ import annotations

import numpy as np

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.units import FloatArray


def unit_vectors(count: int, rng: np.random.Generator) -> FloatArray:
    """Return random directions, shape (count, 3)."""
    vectors = rng.normal(size=(count, 3))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def stick_signal(protocol: DiffusionProtocol, direction: FloatArray, odi: float, d_par: float) -> FloatArray:
    """Return the signal of sticks about a direction, shape (N,), by quadrature over the sphere.

    Gauss-Legendre in the cosine about the direction, equidistant in azimuth.
    """
    t, weights = np.polynomial.legendre.leggauss(400)
    azimuth = 2.0 * np.pi * np.arange(128) / 128
    density = weights * np.exp((t * t - 1.0) / np.tan(0.5 * np.pi * odi))
    density /= density.sum()
    frame = np.linalg.qr(np.column_stack([direction, np.eye(3)[:, :2] + 0.1]))[0]
    around = np.cos(azimuth)[:, None] * frame[:, 1] + np.sin(azimuth)[:, None] * frame[:, 2]
    signal = np.zeros(protocol.n_measurements)
    for cosine, weight in zip(t, density, strict=True):
        sticks = cosine * frame[:, 0] + np.sqrt(1.0 - cosine**2) * around
        exponent = -protocol.bvals[:, None] * d_par * (protocol.bvecs @ sticks.T) ** 2
        signal += weight * np.exp(exponent).mean(axis=1)
    return signal
