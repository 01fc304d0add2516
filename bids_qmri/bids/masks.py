"""Which voxels are fitted: a given mask, a brain mask of another derivative, or an automatic one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.brain import PACKAGE, THINNEST_VIEW, brain_of, installed, thinnest_side, told_head
from bids_qmri.bids.images import Series, load_map, open_series, require_map_grid, same_grid
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, as_index, matches, read_json, read_layout
from bids_qmri.bids.nifti import Header, read_header
from bids_qmri.errors import InputError
from bids_qmri.estimation.tissue import Mask, reference_images, tissue_mask
from bids_qmri.units import FloatArray

LOGGER = logging.getLogger("bids_qmri")

GIVEN = "masks"
"""Name of the dataset of masks on the command line (``-d masks=PATH``)."""

SUFFIXES = ("mask", "brainmask")
"""``_brainmask`` is what programs wrote before BIDS knew ``desc-brain_mask``."""


OBJECT = "automatic: the object above the noise floor, holes filled"
EVERYTHING = "automatic: all voxels, since no image shows where tissue is"

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
    filters = options.filters.get("mask", {})
    given = options.derivatives.get(GIVEN)
    if given is not None:
        images = _given(given, acquisition, series, filters)
        if images:
            return _read(preferred(images, acquisition), series, "given")
        LOGGER.warning("%s: no mask for %s; an automatic one is used", given, acquisition.label)
    roots = [(f"derivative dataset {name}", root) for name, root in options.derivatives.items()]
    if (own := own_derivative(acquisition)) is not None:
        roots.append(("the dataset itself", own))
    for origin, root in roots:
        if root == given:
            continue
        brain = [*filter(is_brain, images_for(root, acquisition, SUFFIXES, filters))]
        warn_of_damage(brain)
        on_grid = [image for image in brain if is_on_grid(image, series)]
        if on_grid:
            return _read(preferred(on_grid, acquisition), series, origin)
    return _automatic(acquisition, series, options.mask)


def own_derivative(acquisition: Acquisition) -> Path | None:
    """Return the dataset that an acquisition lies in if a program made it, whose masks then hold for it."""
    participant = f"sub-{acquisition.entities.get('sub')}"
    root = next((f.parent for f in acquisition.images[0].parents if f.name == participant), None)
    if root is None:
        return None
    try:
        derivative = read_json(root / "dataset_description.json").get("DatasetType") == "derivative"
    except InputError:
        return None
    return root if derivative else None


def is_brain(image: BidsFile) -> bool:
    """Whether a mask is of the brain, by its name."""
    return image.suffix == "brainmask" or image.entities.get("desc") == "brain"


def is_on_grid(image: BidsFile, series: Series | Header) -> bool:
    """Whether a mask lies on the grid of a series; False if it is damaged, which `warn_of_damage` says."""
    try:
        return same_grid(read_header(image.path), series)
    except InputError:
        return False


def warn_of_damage(images: Sequence[BidsFile]) -> None:
    """Say which masks cannot be used; one that a fit fails for is named by its error."""
    for image in images:
        try:
            read_header(image.path)
        except InputError as error:
            LOGGER.warning("this image is not used: %s", error)


def images_for(
    root: Path, acquisition: Acquisition, suffixes: Sequence[str], filters: Mapping[str, Any]
) -> list[BidsFile]:
    """Return the images of a derivative dataset that are about an acquisition: `about`."""
    return about(read_layout(root, acquisition.entities["sub"]), acquisition, suffixes, filters)


def about(
    files: ParticipantFiles, acquisition: Acquisition, suffixes: Sequence[str], filters: Mapping[str, Any]
) -> list[BidsFile]:
    """Return the images of a participant that are about an acquisition, whatever their grid.

    Parameters
    ----------
    files
        What a derivative dataset holds of the participant.
    acquisition
        Whose session they share, and whose other entities they do not contradict; images without a session
        are about all sessions.
    suffixes
        ``"mask"`` or ``"dseg"``.
    filters
        Of entities.
    """
    return [
        image
        for image in files.images(suffixes)
        if image.entities.get("ses") in (None, acquisition.entities.get("ses"))
        and not _contradicts(image, acquisition)
        and matches(image, filters)
    ]


def _contradicts(image: BidsFile, acquisition: Acquisition) -> bool:
    scan = {key: as_index(key, label) for key, label in acquisition.entities.items()}
    return any(scan.get(key, label) != label for key, label in image.indexed(*NOT_OF_THE_SCAN).items())


def _given(
    root: Path, acquisition: Acquisition, series: Series, filters: Mapping[str, Any]
) -> list[BidsFile]:
    """Return the masks on the grid of the series; one of its own datatype that is not on it is an error."""
    images = images_for(root, acquisition, SUFFIXES, filters)
    on_grid = [image for image in images if is_on_grid(image, series)]
    if on_grid:
        warn_of_damage(images)
        return on_grid
    for image in images:
        if image.datatype == acquisition.datatype:
            require_map_grid(read_header(image.path), series)
    warn_of_damage(images)
    return []


def preferred(images: Sequence[BidsFile], acquisition: Acquisition) -> list[BidsFile]:
    """Keep the images closest to the acquisition: by datatype, then desc-brain, then entities."""

    def rank(image: BidsFile) -> tuple[bool, bool, int, int]:
        own = image.without(*NOT_OF_THE_SCAN).items()
        shared = len(own & acquisition.entities.items())
        return image.datatype == acquisition.datatype, is_brain(image), shared - len(own), shared

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
    return MaskChoice(mask, origin, paths, all(map(is_brain, images)))


def _union(paths: Sequence[Path], series: Series) -> Mask:
    mask = np.zeros(series.n_voxels, dtype=bool)
    for path in paths:
        mask |= _volumes_of(path, series)
    if not mask.any():
        raise InputError(
            "holds no voxel",
            file=paths[0],
            needed="a mask with voxels above 0",
            fix="mend or remove the mask",
        )
    return mask


def _volumes_of(path: Path, series: Series) -> Mask:
    """Return the mask in a file of one volume, or of several that are the same."""
    header = read_header(path)
    if header.n_volumes == 1:
        values = load_map(path, series)
        return np.asarray(np.isfinite(values) & (values > 0.5))
    require_map_grid(replace(header, shape=header.shape[:3]), series)
    with open_series([path], series.spool_dir, series) as volumes:
        first, *others = (
            np.nan_to_num(volumes.read(0, volumes.n_voxels, [index])[:, 0]) > 0.5
            for index in range(volumes.n_measurements)
        )
    if any(np.any(other != first) for other in others):
        raise InputError(
            f"has {header.n_volumes} volumes that differ",
            file=path,
            field="dim",
            needed="a 3-D mask, or equal volumes",
            fix="take one volume, or those voxels that are in all of them",
        )
    return np.asarray(first)


def _automatic(acquisition: Acquisition, series: Series, wanted: str) -> MaskChoice:
    """Take the voxels that hold an object (`tissue_mask`), or its brain if it is a head."""
    magnitudes = None if acquisition.protocol is None else acquisition.protocol.magnitudes()
    if magnitudes is not None and not magnitudes.size:
        return MaskChoice(np.isfinite(series.summary()[0]), EVERYTHING)
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
