"""What the kernels of IVIM are told. Called by `estimators.compiled.call`."""

from __future__ import annotations

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.units import FloatArray

KERNELS = ("LeastSquares", "QuickRicianLikelihood", "RicianLikelihood")
"""Objectives with a minimiser, and `start`."""


def told(protocol: DiffusionProtocol) -> FloatArray:
    """Return what `kernels.evaluate` is told of a protocol."""
    return protocol.bvals
