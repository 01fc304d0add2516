"""The images of a fit, as figures read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.derivatives import read_map
from bids_qmri.outputs.tables import MapRow
from bids_qmri.reports.records import Record


@dataclass(frozen=True)
class Image:
    """Values, shape (X, Y, Z) or (X, Y, Z, n), and where its voxels lie, shape (4, 4)."""

    values: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]


def load(record: Record, row: MapRow) -> Image | None:
    """Return a map of a fit, None if it was not written."""
    path = record.path(row, ".nii.gz")
    return Image(*read_map(path)) if path.is_file() else None


def load_values(record: Record, row: MapRow) -> npt.NDArray[Any] | None:
    """Return the values of a map of a fit alone, None if it was not written."""
    image = load(record, row)
    return None if image is None else image.values
