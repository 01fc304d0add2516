"""What the kernels of IVIM are told. Called by `estimators.compiled.call`."""

from __future__ import annotations

import numpy as np

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.ivim.model import start_grid
from bids_qmri.units import FloatArray

KERNELS = ("LeastSquares", "QuickRicianLikelihood", "RicianLikelihood", "start")
"""Objectives with a minimiser, and `start`."""

SLOWS, FASTS, STEP, LOWER_F, UPPER_F, HEAD = range(6)
"""First numbers that `kernels.start` is told: grid points of D and D*, step of D, limits of f; then come D
and D*, their exponentials, the coefficients of every pair, and the b-values."""

COEFFICIENTS = 9
"""Of a pair: inner products of slow with slow and with fast; what the sum of both amplitudes is, and the
squares explained, in inner products of the signal with either; one over the energy at either limit of f."""

FOUND = 5
"""Rows of what is found: the parameters, and the largest signal."""

PARALLEL = 1e-12
"""Squared sine of the angle between two exponentials below which they are one."""


def told(protocol: DiffusionProtocol, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return what `kernels.evaluate` is told of a protocol."""
    return protocol.bvals


def told_start(protocol: DiffusionProtocol, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, int]:
    """Return what `kernels.start` is told, and the rows of its work array."""
    d, dstar = start_grid(lower, upper)
    b, weights = protocol.bvals, protocol.weights
    slow, fast = np.exp(-np.outer(d, b)), np.exp(-np.outer(dstar, b))
    slow_slow, fast_fast = np.sum(weights * slow**2, axis=1), np.sum(weights * fast**2, axis=1)[:, None]
    slow_fast = (weights * fast) @ slow.T
    determinant = slow_slow * fast_fast - slow_fast**2
    apart = determinant > PARALLEL * slow_slow * fast_fast
    inverse = np.where(apart, 1.0 / np.where(apart, determinant, 1.0), 0.0)

    def energy(f: float) -> FloatArray:
        found = (1 - f) ** 2 * slow_slow + 2 * f * (1 - f) * slow_fast + f**2 * fast_fast
        return np.asarray(1.0 / np.maximum(found, np.finfo(np.float64).tiny))

    table = (
        np.broadcast_to(slow_slow, slow_fast.shape),
        slow_fast,
        np.where(apart, fast_fast - slow_fast, 0.0),
        np.where(apart, slow_slow - slow_fast, 0.0),
        fast_fast * inverse,
        -2.0 * slow_fast * inverse,
        slow_slow * inverse,
        energy(lower[2]),
        energy(upper[2]),
    )
    step = d[1] - d[0] if d.size > 1 else 0.0
    head = np.array([d.size, dstar.size, step, lower[2], upper[2]])
    parts = (head, d, dstar, slow.ravel(), fast.ravel(), np.stack(table, axis=-1).ravel(), b)
    return np.concatenate(parts), b.size + 2 * d.size + FOUND
