"""Regions of interest or tissues: the discrete segmentation (``dseg``) of a named derivative dataset."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.images import Series, load_map, open_series
from bids_qmri.bids.layout import BidsFile, read_layout
from bids_qmri.bids.masks import images_for, is_on_grid, preferred, warn_of_damage
from bids_qmri.errors import InputError
from bids_qmri.files import TABLE_LIMIT, read_text
from bids_qmri.units import FloatArray

LOGGER = logging.getLogger("bids_qmri")

MAX_REGIONS = 128
"""An image with more different labels than this is a parcellation that no report can show."""

LONGEST_INDEX = 9
"""Digits of the largest label."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Which region every voxel belongs to.

    Parameters
    ----------
    labels
        Index of the region by voxel in Fortran order, 0 outside all of them, shape (V,).
    names
        Name by index, of the indices that occur.
    file
        The image.
    """

    labels: npt.NDArray[np.intp]
    names: Mapping[int, str]
    file: Path


def find_regions(acquisition: Acquisition, series: Series, options: ReadOptions) -> Regions | None:
    """Return the segmentation of an acquisition, None if there is none on its grid.

    It comes from the first named dataset that has a ``*_dseg`` of the same participant and session on the
    grid of the series which contradicts no entity of the acquisition.

    Parameters
    ----------
    acquisition
        Whose images are fitted.
    series
        These images, opened.
    options
        Named datasets, and filters of kind ``dseg``.
    """
    for root in options.derivatives.values():
        found = images_for(root, acquisition, ("dseg",), options.filters.get("dseg", {}))
        warn_of_damage(found)
        on_grid = [image for image in found if is_on_grid(image, series)]
        if on_grid:
            # Names and figures of regions are a by-product: what is wrong with them must not cost maps.
            try:
                return _read(root, preferred(on_grid, acquisition)[0], acquisition, series)
            except Exception as error:
                LOGGER.warning("%s: regions are left out: %s", on_grid[0].path, error)
                return None
    return None


def labels_on_map(image: Path, segmentation: Path) -> npt.NDArray[np.intp]:
    """Return the label of every voxel of a map, (X, Y, Z), as the map is stored.

    Parameters
    ----------
    image
        A map that was written.
    segmentation
        On the grid of the map, in whatever order of axes.

    Raises
    ------
    InputError
        The segmentation is damaged, or on another grid.
    """
    with TemporaryDirectory() as folder, open_series([image], Path(folder)) as grid:
        labels = _labels(load_map(segmentation, grid))
        return np.asarray(grid.stored.values(labels).reshape(grid.stored.shape, order="F"), dtype=np.intp)


def _labels(values: FloatArray) -> npt.NDArray[np.intp]:
    return np.nan_to_num(np.round(values), posinf=0, neginf=0).astype(np.intp)


def _read(root: Path, image: BidsFile, acquisition: Acquisition, series: Series) -> Regions | None:
    labels = _labels(load_map(image.path, series))
    indices = [int(index) for index in np.unique(labels) if index > 0]
    if not 0 < len(indices) <= MAX_REGIONS:
        LOGGER.warning("%s is left out: %d regions, needed 1 to %d", image.path, len(indices), MAX_REGIONS)
        return None
    table = read_layout(root, acquisition.entities["sub"]).inherited(image, ".tsv")
    named: dict[int, str] = {}
    if table:
        try:
            named = read_names(table[0].path)
        except (InputError, ValueError, csv.Error) as error:
            LOGGER.warning(
                "%s cannot be read (%s): regions are named by number; needed: a table in UTF-8 with the "
                "columns"
                " index and name",
                table[0].path,
                error,
            )
    return Regions(labels, {index: named.get(index, f"label {index}") for index in indices}, image.path)


def read_names(path: Path) -> dict[int, str]:
    """Read index and name of a label table; lines without either are none.

    Raises
    ------
    InputError
        It is no text, or an index no label of an image.
    """
    lines = read_text(path, TABLE_LIMIT, needed="a table in UTF-8").split("\n")
    rows: list[dict[str, Any]] = list(csv.DictReader(lines, delimiter="\t"))
    named = [row for row in rows if str(row.get("index", "")).isdecimal() and row.get("name")]
    digits = max((len(row["index"]) for row in named), default=0)
    if digits > LONGEST_INDEX:
        raise InputError(
            f"an index has {digits} digits",
            file=path,
            field="index",
            needed=f"labels of the image, of at most {LONGEST_INDEX} digits",
            fix="correct the table",
        )
    return {int(row["index"]): str(row["name"]) for row in named}
