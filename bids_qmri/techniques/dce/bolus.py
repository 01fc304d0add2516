"""The arrival of the bolus, for series that do not state it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError


def bolus_arrival(curve: npt.ArrayLike) -> int:
    """Return the frame in which the bolus arrives, to a frame or so, for series that do not state it.

    Parameters
    ----------
    curve
        Mean signal or concentration of enhancing voxels or of the input, shape (N,).

    Raises
    ------
    InputError
        If the curve is highest in its first frame: nothing was seen to arrive.

    Notes
    -----
    The frame farthest below the straight line from the first frame to the peak: needs no threshold and no
    estimate of the noise, and frames after the peak do not matter.
    """
    values = np.asarray(curve, dtype=np.float64)
    peak = int(np.argmax(values))
    if peak == 0:
        raise InputError(
            "the mean curve is highest in its first frame",
            field="BaselineVolumes",
            needed="at least one frame before the bolus",
            fix="state the number of baseline frames with --baseline-volumes, or check the mask",
        )
    line = np.linspace(values[0], values[peak], peak + 1)
    return int(np.argmax(line - values[: peak + 1]))
