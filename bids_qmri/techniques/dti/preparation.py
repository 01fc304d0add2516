"""What of a diffusion series tensors are fitted to; their noise is that of each voxel's own residuals."""

from __future__ import annotations

import numpy as np

from bids_qmri.estimation.preparation import Preparation, Scan, as_measured
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import directed
from bids_qmri.physics.model import Model
from bids_qmri.techniques.dti.model import Cumulants


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Return the preparation of a diffusion series for tensors, saying which images are left out."""
    protocol = scan.require_protocol()
    assert isinstance(protocol, DiffusionProtocol)
    assert isinstance(model, Cumulants)
    kept = model.kept(protocol)
    too_high = int(np.sum(~kept & directed(protocol)))
    limit = max(float(protocol.bvals[kept].max(initial=0.0)), model.b_max)
    note = f"{too_high} of {kept.size} images left out of {model.name}, b above {limit:g} s/mm^2"
    return as_measured(scan, noise_is_common=False, notes=(note,) if too_high else ())
