"""The noise of a multi-shell series: from what functions of the angle to one axis leave unexplained."""

from __future__ import annotations

from functools import partial

from bids_qmri.estimation.preparation import Preparation, Scan, as_measured
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.model import Model
from bids_qmri.techniques.noddi.model import Noddi
from bids_qmri.techniques.noddi.shell_noise import shell_residuals

OWN_NOISE = True
"""The noise level does not come from residuals of the model."""


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Return the preparation of a multi-shell series."""
    assert isinstance(model, Noddi)
    return as_measured(scan, residuals=partial(shell_residuals, d_par=model.d_par))
