"""From true parameters to noisy signals, equations 7 and 8 of Kuppens et al.

Magnitudes get Rician noise of standard deviation amplitude / SNR, where the amplitude is M0 (VFA) or S(b = 0)
(IVIM); the noise level relative to an image therefore depends on the protocol. Concentrations get Gaussian
noise of standard deviation max(curve) / SNR.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_qmri.models.base import Model
from bids_qmri.models.noise import add_rician_noise
from bids_qmri.units import FloatArray


def simulate(
    model: Model, theta: FloatArray, protocol: Any, snr: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return noisy signals (V, N) and the noise standard deviation of a single image (V,).

    Parameters
    ----------
    model
        Forward model.
    theta
        True parameters, shape (P, V).
    protocol
        What is played out; its weights are numbers of images averaged.
    snr
        Signal-to-noise ratio of every curve, (V,).
    rng
        Source of the noise.
    """
    clean = model.signal(theta, protocol)
    if model.amplitude is None:
        sigma = clean.max(axis=0) / snr
        noise = rng.standard_normal(clean.shape) / np.sqrt(protocol.weights)[:, None]
        return np.ascontiguousarray((clean + sigma * noise).T), sigma
    sigma = theta[[p.name for p in model.parameters].index(model.amplitude)] / snr
    return np.ascontiguousarray(_mean_magnitude(clean, sigma, protocol.weights, rng).T), sigma


def _mean_magnitude(
    clean: FloatArray, sigma: FloatArray, images: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Average as many noisy magnitudes of every measurement as `images` says, (N,)."""
    total = np.zeros_like(clean)
    for image in range(int(images.max())):
        rows = images > image
        total[rows] += add_rician_noise(clean[rows], sigma, rng)
    return np.asarray(total / images[:, None])
