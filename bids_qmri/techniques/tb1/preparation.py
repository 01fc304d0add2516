"""Images of a transmit field are fitted as they are; two of them leave no residuals that would tell noise."""

from __future__ import annotations

from bids_qmri.estimation.preparation import Preparation, Scan, as_measured
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.model import Model


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Prepare images of a transmit field: their noise is that of air."""
    return as_measured(scan, residuals=lambda signal, protocol: None)
