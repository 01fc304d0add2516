"""What holds for every model: derivatives, recovery, error bars. Called by the tests of models."""

from __future__ import annotations

import numpy as np

from bids_qmri.estimators.base import FitResult, Status, get_estimator
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.physics.protocol import Protocol

STEP = 1e-6


def drawn(model: Model, voxels: int, seed: int = 0) -> np.ndarray:
    """Return parameters, (P, V), uniform over the range in which networks are trained."""
    rng = np.random.default_rng(seed)
    return np.array([rng.uniform(*p.training, voxels) for p in model.parameters])


def assert_jacobian(model: Model, theta: np.ndarray, protocol: Protocol) -> None:
    """Compare derivatives with central differences."""
    signal, jacobian = model.signal_and_jacobian(theta, protocol)
    np.testing.assert_allclose(signal, model.signal(theta, protocol), rtol=1e-12)
    for index, values in enumerate(theta):
        step = np.zeros_like(theta)
        step[index] = STEP * np.maximum(np.abs(values), 1e-3)
        high, low = model.signal(theta + step, protocol), model.signal(theta - step, protocol)
        scale = np.abs(jacobian[index]).max()
        np.testing.assert_allclose(jacobian[index], (high - low) / (2 * step[index]), atol=1e-6 * scale)


def fitted(
    model: Model, clean: np.ndarray, protocol: Protocol, label: str = "lsq", bounds: Bounds | None = None
) -> FitResult:
    """Fit signals of an amplitude near 1, (N, V); a likelihood is told of next to no noise."""
    sigma = None if label == "lsq" else 1e-5
    return get_estimator(model.name, label).fit(model, clean.T, protocol, sigma=sigma, bounds=bounds)


def worst(found: FitResult, model: Model, theta: np.ndarray) -> float:
    """Return the largest relative error of any parameter in any voxel."""
    values = np.array([found.maps[p.name] for p in model.parameters])
    return float(np.max(np.abs(values - theta) / np.maximum(np.abs(theta), 1e-2)))


def coverage(model: Model, protocol: Protocol, name: str, snr: float, label: str = "lsq") -> float:
    """Return in which share of voxels at a signal-to-noise ratio the error is within one error bar."""
    theta = drawn(model, 4000)
    clean = model.signal(theta, protocol)
    sigma = float(clean.max(axis=0).mean()) / snr
    measured = add_rician_noise(clean.T, sigma, np.random.default_rng(1))
    found = get_estimator(model.name, label).fit(model, measured, protocol, sigma=sigma)
    truth = theta[[p.name for p in model.parameters].index(name)]
    ok = found.status == Status.OK
    assert ok.mean() > 0.5
    return float(np.mean(np.abs(found.maps[name] - truth)[ok] < found.sd[name][ok]))
