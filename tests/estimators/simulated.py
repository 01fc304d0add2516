"""Protocols and noise-free curves that the tests of several estimators share."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_qmri.estimators.base import FitResult
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

VFA_PROTOCOL = VfaProtocol(np.deg2rad([1, 6, 10, 25]), 0.005)
IVIM_PROTOCOL = DiffusionProtocol([0, 10, 20, 50, 100, 300, 600])

CASES: dict[str, tuple[Model, Any]] = {"vfa": (VFA, VFA_PROTOCOL), "ivim": (IVIM, IVIM_PROTOCOL)}

NOISE = {"vfa": 1 / 300, "ivim": 1 / 40}
"""Noise relative to the amplitude at which most voxels are determined."""


def draw(model: Model, voxels: int, seed: int = 0) -> FloatArray:
    """Return parameters, shape (P, V), drawn uniformly from the training ranges."""
    rng = np.random.default_rng(seed)
    return np.array([rng.uniform(*p.training, voxels) for p in model.parameters])


def narrow(model: Model) -> Bounds:
    """Return the training ranges as bounds of all parameters but the amplitude."""
    return {p.name: p.training for p in model.parameters if p.name != model.amplitude}


def estimates(model: Model, result: FitResult) -> FloatArray:
    """Return the maps of fitted parameters as one array, shape (P, V)."""
    return np.array([result.maps[p.name] for p in model.parameters])
