"""The values of a picture that its colours cannot tell: those at and beyond the ends of the range.

Colours tell a value inside the range to one of 253 steps. All that lies beyond an end has the colour of that
end, so that these values are carried beside the picture as numbers.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.reports.colours import HIGHEST, LOWEST, Pixels
from bids_qmri.reports.sheets import Sheet

Array = npt.NDArray[Any]

_HALF = 0x80
"""Half of what is cut from a single-precision number: its last byte, 3 in 100,000 of the value."""


def pack_beyond(sheet: Sheet, pixels: Pixels, values: Array) -> str:
    """Return the values of all voxels at the lowest or highest level, as text for the viewer of a page.

    Parameters
    ----------
    sheet
        Arrangement of the slices.
    pixels
        Levels of the sheet, shape (rows, columns).
    values
        Their values in the unit that the page tells, same shape.

    Returns
    -------
    str
        Empty if no voxel is at an end. Otherwise base64 of a zlib stream: a bit for every voxel by slice, row
        and column, set where its value follows, then the values as single precision without its last byte:
        all third bytes, all second ones, all first ones, since alike bytes shrink together.
    """
    levels = sheet.cut(pixels)
    at_end = (levels == LOWEST) | (levels == HIGHEST)
    if not at_end.any():
        return ""
    bits = sheet.cut(values)[at_end].astype("<f4").view("<u4")
    planes = ((bits + np.uint32(_HALF)) >> 8).astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3].T
    plain = np.packbits(at_end.ravel()).tobytes() + planes.tobytes()
    return base64.b64encode(zlib.compress(plain, 9)).decode("ascii")
