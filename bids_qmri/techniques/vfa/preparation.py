"""Flip angles scaled by the transmit field, voxel by voxel, where it is known."""

from __future__ import annotations

import numpy as np

from bids_qmri.estimation.preparation import Preparation, Scan, Voxels, as_measured
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.model import Model
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Prepare a VFA series; voxels without a transmit field become NaN if others have one."""
    protocol = scan.require_protocol()
    assert isinstance(protocol, VfaProtocol)
    b1 = scan.maps.get("b1")
    if b1 is None:
        return as_measured(scan, used={"B1Corrected": False})

    def convert(signal: FloatArray, voxels: Voxels) -> tuple[FloatArray, Protocol]:
        factor = b1[voxels]
        known = np.isfinite(factor)
        return np.where(known[:, None], signal, np.nan), protocol.with_b1(np.where(known, factor, 1.0))

    coverage = float(np.mean(np.isfinite(b1[scan.mask])))
    used = {"B1Corrected": True, "B1Coverage": coverage, "B1Method": scan.facts.get("B1Method")}
    return Preparation(convert, used=used)
