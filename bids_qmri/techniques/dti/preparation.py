"""What of a diffusion series tensors are fitted to; their noise is that of each voxel's own residuals."""

from __future__ import annotations

import numpy as np

from bids_qmri.estimation.preparation import Preparation, Scan, as_measured
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import within
from bids_qmri.physics.model import Model


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Return the preparation of a diffusion series for tensors, saying which images are left out."""
    protocol = scan.require_protocol()
    assert isinstance(protocol, DiffusionProtocol)
    highest = float(getattr(model, "b_max", np.inf))
    left_out = int(np.sum(~within(protocol, highest)))
    note = (
        f"{left_out} of {protocol.n_measurements} images left out of {model.name}, b above {highest:g} s/mm^2"
    )
    return as_measured(scan, noise_is_common=False, notes=(note,) if left_out else ())
