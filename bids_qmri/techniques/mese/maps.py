"""R2 beside T2."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.blocks import ImageMaps
from bids_qmri.estimation.inverse import with_rate


def complete(found: ImageMaps, affine: npt.NDArray[np.float64], sigma: float | None) -> ImageMaps:
    """Add the rate in 1/s; arguments as of every technique that completes its maps."""
    return with_rate(found, "t2", "r2")
