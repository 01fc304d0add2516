"""Images of one b-value averaged over directions, for estimators that average."""

from __future__ import annotations

from bids_qmri.estimation.averaging import averaged_over_directions
from bids_qmri.estimation.preparation import Preparation, Scan
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.model import Model


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Return the preparation of a diffusion series for IVIM."""
    return averaged_over_directions(estimator, scan)
