"""Where the crosshair of a viewer starts: on tissue that is like most of it, near the middle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.reports.sheets import Mask, Sheet

Place = list[int]
"""Column, row and slice of a sheet."""


def find_start(sheet: Sheet, mask: Mask, values: npt.NDArray[Any], good: Mask) -> Place | None:
    """Return the place nearest the middle of the mask among those with a usual value.

    Parameters
    ----------
    sheet
        Arrangement of the slices.
    mask
        Voxels that were fitted, shape (X, Y, Z).
    values
        A map of them, same shape.
    good
        Voxels that can be shown as they are: estimated, determined and inside the range; same shape.

    Returns
    -------
    list or None
        Of a good voxel whose value lies between the quartiles of all good ones; None if there is none.
    """
    order = sheet.cut(sheet.order)
    shown = (order >= 0) & good.ravel()[order]
    found = values.ravel()[order][shown]
    if not found.size:
        return None
    first, third = np.percentile(found, (25, 75), method="nearest")
    usual = np.argwhere(shown)[(found >= first) & (found <= third)]
    middle = np.argwhere((order >= 0) & mask.ravel()[order]).mean(axis=0)
    # Planes, rows and columns lie differently far from each other.
    across, down, through = sheet.lengths
    apart = (((usual - middle) * (through, down, across)) ** 2).sum(axis=1)
    slice_, row, column = usual[int(np.argmin(apart))].tolist()
    return [column, row, slice_]
