"""How far one estimator is from another in the same voxels: bias and limits of agreement.

Limits are percentiles (Bland and Altman 1999, doi:10.1177/096228029900800204, section 6), because differences
of bounded parameters are not normally distributed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bids_qmri.qc.common import common_voxels
from bids_qmri.qc.metrics import Known, Metrics, Values

REFERENCES = ("lsq", "mle")
"""Estimators that networks are compared with."""

_LIMITS = {"loa_low": 2.5, "bias": 50.0, "loa_high": 97.5}


def agreement_metrics(
    values: Values,
    status: npt.NDArray[np.uint8],
    reference: Values,
    reference_status: npt.NDArray[np.uint8],
    determined: Known | None = None,
    reference_determined: Known | None = None,
) -> Mapping[str, float | None]:
    """Compare two maps of one parameter.

    Parameters
    ----------
    values, status
        Estimates and status codes, (V,).
    reference, reference_status
        Those of the estimator that is compared with, (V,).
    determined, reference_determined
        Where the data determine the parameter by either, (V,); None where that is not known.

    Returns
    -------
    dict
        ``bias``, ``loa_low`` and ``loa_high`` of values minus reference; None without a common voxel.
    """
    both = common_voxels([(values, status, determined), (reference, reference_status, reference_determined)])
    difference = values[both].astype(np.float64) - reference[both]
    keys = ("bias", "loa_low", "loa_high")
    if difference.size == 0:
        return dict.fromkeys(keys)
    found: Metrics = {key: float(np.percentile(difference, _LIMITS[key])) for key in keys}
    return found
