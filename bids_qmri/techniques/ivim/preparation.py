"""Images of one b-value averaged over directions, for estimators that average."""

from __future__ import annotations

import numpy as np

from bids_qmri.estimation.preparation import Preparation, Scan, Voxels, as_measured
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import average_directions
from bids_qmri.physics.model import Model
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.shells import cluster_shells
from bids_qmri.units import FloatArray

AVERAGE = "direction average"
"""What is computed once for all fits of a series."""


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Return the preparation of a diffusion series for IVIM."""
    protocol = scan.require_protocol()
    assert isinstance(protocol, DiffusionProtocol)
    groups = cluster_shells(protocol.bvals)[1]

    def average(signal: FloatArray, _: Voxels) -> tuple[FloatArray, Protocol]:
        return average_directions(np.asarray(signal, dtype=np.float64), protocol, groups)

    if estimator.single_images:
        # The noise is that of the averages: between directions, anisotropy would count as noise.
        used = {"DirectionAverage": "none"}
        return as_measured(scan, convert_for_noise=average, noise_conversion=AVERAGE, used=used)
    used = {"DirectionAverage": "geometric mean per b-value"}
    return Preparation(average, conversion=AVERAGE, used=used)
