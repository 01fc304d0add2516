"""Which voxels are fitted: a given mask, a brain mask of another derivative, or an automatic one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.images import Series, load_map, require_map_grid, same_grid
from bids_qmri.bids.layout import BidsFile, matches, read_layout
from bids_qmri.bids.nifti import read_header
from bids_qmri.errors import InputError
from bids_qmri.estimation.tissue import Mask, reference_images, tissue_mask

LOGGER = logging.getLogger("bids_qmri")

GIVEN = "masks"
"""Name of the dataset of masks on the command line (``-d masks=PATH``)."""

NOT_OF_THE_SCAN = ("desc", "space", "res", "label")
"""Entities that say how a mask was made, not of which scan."""


@dataclass(frozen=True, eq=False)
class MaskChoice:
    """A mask and where it came from.

    Parameters
    ----------
    mask
        True where a voxel is fitted, (V,) in Fortran order.
    origin
        One phrase for sidecars and reports.
    files
        Images it was read from; empty if automatic.
    skull_stripped
        True only if it was read from brain masks (``desc-brain``).
    """

    mask: Mask
    origin: str
    files: tuple[Path, ...] = ()
    skull_stripped: bool = False


def find_mask(acquisition: Acquisition, series: Series, options: ReadOptions) -> MaskChoice:
    """Choose the voxels to fit.

    A mask from the dataset named ``masks``, else a ``desc-brain`` mask of another named dataset, else
    automatic. Masks must belong to the same participant and session, contradict no other entity of the
    acquisition (a mask of run 1 is none of run 2), and lie on the grid of the series.

    Parameters
    ----------
    acquisition
        Whose images are fitted.
    series
        These images, opened.
    options
        Named datasets, and filters of kind ``mask``.

    Raises
    ------
    InputError
        If masks were given but none fits this grid, or if the mask is empty.
    """
    given = options.derivatives.get(GIVEN)
    if given is not None:
        images = _given(given, acquisition, series, options)
        if images:
            return _read(preferred(images, acquisition), series, "given")
        LOGGER.warning("%s: no mask for %s; an automatic one is used", given, acquisition.label)
    for name, root in options.derivatives.items():
        if name == GIVEN:
            continue
        brain = [
            image
            for image in images_for(root, acquisition, "mask", options.filters.get("mask", {}))
            if image.entities.get("desc") == "brain"
        ]
        on_grid = [image for image in brain if same_grid(read_header(image.path), series)]
        if on_grid:
            return _read(preferred(on_grid, acquisition), series, f"derivative dataset {name}")
    return _automatic(acquisition, series)


def images_for(
    root: Path, acquisition: Acquisition, suffix: str, filters: Mapping[str, Any]
) -> list[BidsFile]:
    """Return the images of a derivative dataset that are about an acquisition, whatever their grid.

    Parameters
    ----------
    root
        The dataset.
    acquisition
        Whose participant and session they share, and whose other entities they do not contradict.
    suffix
        ``"mask"`` or ``"dseg"``.
    filters
        Of entities.
    """
    files = read_layout(root, acquisition.entities["sub"])
    return [
        image
        for image in files.images({suffix})
        if image.entities.get("ses") == acquisition.entities.get("ses")
        and not _contradicts(image, acquisition)
        and matches(image, filters)
    ]


def _contradicts(image: BidsFile, acquisition: Acquisition) -> bool:
    own = image.without(*NOT_OF_THE_SCAN)
    return any(acquisition.entities.get(key, label) != label for key, label in own.items())


def _given(root: Path, acquisition: Acquisition, series: Series, options: ReadOptions) -> list[BidsFile]:
    """Return the masks on the grid of the series; one of its own datatype that is not on it is an error."""
    images = images_for(root, acquisition, "mask", options.filters.get("mask", {}))
    on_grid = [image for image in images if same_grid(read_header(image.path), series)]
    if on_grid:
        return on_grid
    for image in images:
        if image.datatype == acquisition.datatype:
            require_map_grid(read_header(image.path), series)
    return []


def preferred(images: Sequence[BidsFile], acquisition: Acquisition) -> list[BidsFile]:
    """Keep the images closest to the acquisition: by datatype, then entities, then desc-brain."""

    def rank(image: BidsFile) -> tuple[bool, int, int, bool]:
        own = image.without(*NOT_OF_THE_SCAN).items()
        shared = len(own & acquisition.entities.items())
        is_brain = image.entities.get("desc") == "brain"
        return image.datatype == acquisition.datatype, shared - len(own), shared, is_brain

    best = max(map(rank, images))
    return [image for image in images if rank(image) == best]


def mask_of_file(path: Path, series: Series) -> MaskChoice:
    """Return the mask in a file.

    Raises
    ------
    InputError
        If it is not on the grid of the series, or empty.
    """
    return MaskChoice(_union((path,), series), f"given: {path.name}", (path,))


def _read(images: Sequence[BidsFile], series: Series, source: str) -> MaskChoice:
    paths = tuple(image.path for image in images)
    mask = _union(paths, series)
    names = ", ".join(path.name for path in paths)
    origin = f"{source}: {'union of ' if len(paths) > 1 else ''}{names}"
    return MaskChoice(mask, origin, paths, all(image.entities.get("desc") == "brain" for image in images))


def _union(paths: Sequence[Path], series: Series) -> Mask:
    mask = np.zeros(series.n_voxels, dtype=bool)
    for path in paths:
        values = load_map(path, series)
        mask |= np.isfinite(values) & (values > 0.5)
    if not mask.any():
        raise InputError(
            "holds no voxel",
            file=paths[0],
            needed="a mask with voxels above 0",
            fix="mend or remove the mask",
        )
    return mask


def _automatic(acquisition: Acquisition, series: Series) -> MaskChoice:
    """Take the voxels that hold an object (`tissue_mask`)."""
    stated = getattr(acquisition.settings, "reference_volumes", None)
    reference = reference_images(acquisition.protocol, series.n_measurements, baseline_volumes=stated)
    mean, usable = series.summary(reference)
    shape = series.shape
    grids = mean.reshape(shape, order="F"), usable.reshape(shape, order="F")
    mask = tissue_mask(*grids, len(reference)).ravel(order="F")
    if not mask.any():
        raise InputError(
            "no voxel is finite and above 0 in its reference images",
            file=acquisition.images[0],
            needed="an image with signal",
            fix="check the image, or pass a mask by -d masks=PATH",
        )
    return MaskChoice(mask, "automatic: the object above the noise floor, holes filled, no brain extraction")
