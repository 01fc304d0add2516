"""Refocusing angles scaled by the transmit field, voxel by voxel, where it is known and can be used."""

from __future__ import annotations

import numpy as np

from bids_qmri.estimation.preparation import Preparation, Scan, Voxels, as_measured
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.model import Model
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol
from bids_qmri.units import FloatArray


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Prepare a spin-echo series; where the field is known it is fixed, and voxels without it become NaN."""
    protocol = scan.require_protocol()
    assert isinstance(protocol, SpinEchoProtocol)
    field = scan.maps.get("b1")
    if field is None or not any(p.name == "b1" for p in model.parameters):
        return as_measured(scan)

    def convert(signal: FloatArray, voxels: Voxels) -> tuple[FloatArray, Protocol]:
        factor = field[voxels]
        known = np.isfinite(factor)
        return np.where(known[:, None], signal, np.nan), protocol.with_b1(np.where(known, factor, 1.0))

    coverage = float(np.mean(np.isfinite(field[scan.mask])))
    used = {"B1Corrected": True, "B1Coverage": coverage, "B1Method": scan.facts.get("B1Method")}
    note = "B1+ is that of a map: its own map holds 1, the share of that field"
    return Preparation(convert, used=used, bounds={"b1": (1.0, 1.0)}, notes=(note,))
