"""Images of one b-value averaged over directions, those of high b-values left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_qmri.estimation.averaging import averaged_over_directions
from bids_qmri.estimation.preparation import Preparation, Scan
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Model
from bids_qmri.physics.shells import cluster_shells
from bids_qmri.techniques.adc.model import LARGEST_B, Apparent


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Return the preparation of a diffusion series, saying which images are left out."""
    protocol = scan.require_protocol()
    assert isinstance(protocol, DiffusionProtocol)
    assert isinstance(model, Apparent)
    kept = model.kept(protocol)
    notes: tuple[str, ...] = ()
    if not np.all(kept):
        gone = f"{int(np.sum(~kept))} of {kept.size} images left out of {model.name}"
        notes = (f"{gone}, b above {LARGEST_B:g} s/mm^2",)
    elif protocol.bvals.max() > LARGEST_B:
        notes = (f"b up to {protocol.bvals.max():g} s/mm^2: the coefficient is lower than at usual b-values",)
    more: dict[str, Any] = {"notes": notes}
    if cluster_shells(protocol.bvals[kept])[0].size <= len(model.parameters):
        # As many averages as parameters leave no residuals: the noise is that of air.
        more["residuals"] = lambda signal, own: None
    return averaged_over_directions(estimator, scan, kept, **more)
