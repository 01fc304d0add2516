"""The voxels that all estimators of a scan have in common, and what a map is like there.

The median of a map over the voxels that one estimator determines is a median of a selection, which is another
for every estimator. Estimators are compared where all of them have an answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bids_qmri.qc.metrics import Known, Metrics, Values, determined_voxels, median, usable_voxels

COMMON = ("common_median", "common_voxels")
"""Ends of the names of metrics of common voxels."""

Estimate = tuple[Values, npt.NDArray[np.uint8], Known | None]
"""Values of a map, status codes, and where the data determine it (None: nobody tells), all of one shape."""


def common_voxels(estimates: Sequence[Estimate]) -> npt.NDArray[np.bool_]:
    """Return where all estimators have a value, where known only where the data determine it for each.

    Parameters
    ----------
    estimates
        One map by every estimator, at least one.

    Returns
    -------
    ndarray of bool
        Of the shape of the maps.

    Examples
    --------
    >>> ok = np.array([1, 1, 4], np.uint8)
    >>> ours, theirs = np.array([1.0, 2.0, 3.0]), np.array([np.nan, 2.5, 3.5])
    >>> common_voxels([(ours, ok, None), (theirs, ok, None)]).tolist()
    [False, True, False]
    """
    return np.asarray(
        np.all(
            [
                determined_voxels(usable_voxels(status), known) & np.isfinite(values)
                for values, status, known in estimates
            ],
            axis=0,
        )
    )


def common_metrics(values: Values, common: npt.NDArray[np.bool_]) -> Metrics:
    """Summarise a map over the voxels that all estimators have in common.

    Parameters
    ----------
    values, common
        The map, and which voxels these are, of one shape.

    Returns
    -------
    dict
        ``common_median`` in the unit of the map, None without a common voxel, and ``common_voxels``.
    """
    return dict(zip(COMMON, (median(values[common]), int(np.count_nonzero(common))), strict=True))
