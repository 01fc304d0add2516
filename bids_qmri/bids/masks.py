"""Which voxels are fitted: a given mask, a brain mask of another derivative, or an automatic one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.brain import PACKAGE, THINNEST_VIEW, brain_of, installed, thinnest_side, told_head
from bids_qmri.bids.images import Series, load_map, require_map_grid, same_grid
from bids_qmri.bids.layout import BidsFile, matches, read_layout
from bids_qmri.bids.nifti import read_header
from bids_qmri.errors import InputError
from bids_qmri.estimation.tissue import Mask, reference_images, tissue_mask
from bids_qmri.units import FloatArray

LOGGER = logging.getLogger("bids_qmri")

GIVEN = "masks"
"""Name of the dataset of masks on the command line (``-d masks=PATH``)."""

OBJECT = "automatic: the object above the noise floor, holes filled"

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
        True only if it was read from brain masks (``desc-brain``), or the brain was extracted.
    """

    mask: Mask
    origin: str
    files: tuple[Path, ...] = ()
    skull_stripped: bool = False


def find_mask(acquisition: Acquisition, series: Series, options: ReadOptions) -> MaskChoice:
    """Choose the voxels to fit.

    A mask from the dataset named ``masks``, else a ``desc-brain`` mask of another named dataset, else
    automatic: the object, or its brain where the sidecars say that it is a head (`bids.brain`), as far as
    ``options.mask`` leaves it open. Masks must belong to the same participant and session, contradict no
    other entity of the acquisition (a mask of run 1 is none of run 2), and lie on the grid of the series.

    Parameters
    ----------
    acquisition
        Whose images are fitted.
    series
        These images, opened.
    options
        Named datasets, filters of kind ``mask``, and what an automatic mask is of.

    Raises
    ------
    InputError
        If masks were given but none fits this grid, the mask is empty, or the brain is asked for without the
        extra that finds it.
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
    return _automatic(acquisition, series, options.mask)


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


def _automatic(acquisition: Acquisition, series: Series, wanted: str) -> MaskChoice:
    """Take the voxels that hold an object (`tissue_mask`), or its brain if it is a head."""
    stated = getattr(acquisition.settings, "reference_volumes", None)
    reference = reference_images(acquisition.protocol, series.n_measurements, baseline_volumes=stated)
    flat = series.summary(reference)
    shape = series.shape
    mean, usable = flat[0].reshape(shape, order="F"), flat[1].reshape(shape, order="F")
    mask = tissue_mask(mean, usable, len(reference))
    if not mask.any():
        raise InputError(
            "no voxel is finite and above 0 in its reference images",
            file=acquisition.images[0],
            needed="an image with signal",
            fix="check the image, or pass a mask by -d masks=PATH",
        )
    told = told_head(acquisition.metadata)
    if wanted == "body" or (wanted == "auto" and not told):
        return MaskChoice(mask.ravel(order="F"), OBJECT)
    brain, how = _brain(mean, mask, series, wanted)
    if brain is None:
        LOGGER.info("%s: %s; the mask is the whole object", acquisition.label, how)
        return MaskChoice(mask.ravel(order="F"), f"{OBJECT} ({how})")
    why = f"since {told}" if wanted == "auto" else "as asked"
    return MaskChoice(brain.ravel(order="F"), f"automatic: the brain, by {how}, {why}", skull_stripped=True)


def _brain(mean: FloatArray, head: Mask, series: Series, wanted: str) -> tuple[Mask | None, str]:
    """Return the brain in a head and by what it was found, or None and why not."""
    extractor, side = installed(), thinnest_side(series.shape, series.affine)
    if not extractor and wanted == "brain":
        raise InputError(
            f"{PACKAGE} is not installed",
            field="--mask brain",
            needed="the extra for brain extraction",
            fix="pip install 'bids_qmri[brain]', or give brain masks by -d masks=PATH",
        )
    if not extractor:
        return None, "a head, but bids_qmri[brain] is not installed"
    if side < THINNEST_VIEW:
        return None, f"a head, but {side:.0f} mm are too few for brain extraction"
    brain = brain_of(mean, head, series.affine)
    return brain, extractor if brain is not None else f"{extractor} found no brain"
