"""What the kernels of VFA are told. Called by `estimators.compiled.call`."""

from __future__ import annotations

import numpy as np

from bids_qmri.physics.dictionary import grid
from bids_qmri.techniques.vfa.model import GRID_POINTS
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

KERNELS = ("LeastSquares", "QuickRicianLikelihood", "RicianLikelihood", "start")
"""Objectives with a minimiser, and `start`."""

BY_VOXEL, ONE_TR, HEAD = range(3)
"""First numbers that `kernels.evaluate` is told: whether each voxel has its own angles, and all images one
TR; then come sines and cosines, of angles that all voxels share, and TRs."""


def told(protocol: VfaProtocol, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return what `kernels.evaluate` is told of a protocol."""
    flip, tr = protocol.flip_angle, protocol.repetition_time
    head = [float(flip.ndim == 2), float(np.all(tr == tr[0]))]
    angles = np.zeros(2 * tr.size) if flip.ndim == 2 else np.concatenate([np.sin(flip), np.cos(flip)])
    return np.concatenate([head, angles, tr])


def own(protocol: VfaProtocol) -> FloatArray | None:
    """Return what each voxel's protocol tells, (V, 2 N): sines and cosines; None if all voxels share it."""
    flip = protocol.flip_angle
    return None if flip.ndim == 1 else np.concatenate([np.sin(flip), np.cos(flip)]).T


def told_start(protocol: VfaProtocol, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, int]:
    """Return what `kernels.start` is told, and the rows of its work array."""
    t1 = grid(lower[0], upper[0], GRID_POINTS, logarithmic=True)
    e1 = np.exp(-protocol.repetition_time / t1[:, None])
    constants = told(protocol, lower, upper)
    n = protocol.n_measurements
    return np.concatenate([[t1.size], t1, e1.ravel(), constants]), 3 * n + 2
