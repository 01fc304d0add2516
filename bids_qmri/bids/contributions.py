"""Named datasets that give nothing to a participant: said, with what was found in them and what is needed.

Nobody names a dataset for nothing. A mask on another grid or a file name that no reader knows must not end
in maps of raw images and automatic masks without a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.images import same_grid
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, matches
from bids_qmri.bids.masks import GIVEN, SUFFIXES, about, is_brain
from bids_qmri.bids.nifti import read_header
from bids_qmri.errors import InputError

MOST_NAMES = 4

NEEDED = (
    "desc-preproc images (or one other desc-) of the suffixes that are fitted, maps or brain masks "
    "(desc-brain_mask) of this participant and session on the grid of the images; other masks from a dataset "
    "that is named masks (-d masks=PATH), regions from *_dseg"
)
FIX = "name or resample them so, or leave the dataset out"


def with_unused_datasets(
    found: Sequence[Acquisition | Unusable], derivatives: Mapping[str, ParticipantFiles], options: ReadOptions
) -> list[Acquisition | Unusable]:
    """Return what was found, each acquisition with a note for every named dataset that gives nothing.

    Parameters
    ----------
    found
        Of one participant.
    derivatives
        Named datasets.
    options
        Choices of the command line: filters.
    """
    notes = tuple(
        _said(name, files, found, options)
        for name, files in derivatives.items()
        if not any(_contributes(files, name, one, options) for one in found)
    )
    if not any(isinstance(one, Acquisition) for one in found):
        return [*found, *map(_alone, notes)]
    return [
        replace(one, notes=(*one.notes, *notes)) if isinstance(one, Acquisition) else one for one in found
    ]


def _alone(note: str) -> Unusable:
    """Return a word about a dataset where there is no acquisition to say it of."""
    seen, _, rest = note.partition("; needed: ")
    needed, _, fix = rest.rpartition("; fix: ")
    return Unusable("derivatives", InputError(seen, needed=needed, fix=fix), fault=False)


def _contributes(
    files: ParticipantFiles, name: str, found: Acquisition | Unusable, options: ReadOptions
) -> bool:
    root = files.root.resolve()
    if isinstance(found, Unusable):
        # What was tried and refused has been named already.
        return found.error.file is not None and _is_inside(Path(found.error.file), root)
    b1 = () if found.b1 is None else found.b1.files
    maps = (source for source in found.maps.values() if isinstance(source, Path))
    if any(_is_inside(path, root) for path in (*found.sources, *b1, *maps)):
        return True
    return any(_fits(image, found) for image in _masks(files, name, found, options))


def _is_inside(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root)


def _masks(files: ParticipantFiles, name: str, found: Acquisition, options: ReadOptions) -> list[BidsFile]:
    masks = about(files, found, SUFFIXES, options.filters.get("mask", {}))
    regions = about(files, found, ("dseg",), options.filters.get("dseg", {}))
    return [*(mask for mask in masks if name == GIVEN or is_brain(mask)), *regions]


def _fits(image: BidsFile, found: Acquisition) -> bool:
    """Whether a mask is on the grid of an acquisition, as far as headers tell."""
    try:
        return same_grid(read_header(image.path), read_header(found.images[0]))
    except InputError:
        return True  # what is damaged is named where it is read


def _said(
    name: str, files: ParticipantFiles, found: Sequence[Acquisition | Unusable], options: ReadOptions
) -> str:
    seen = _seen(name, files, found, options)
    return (
        f"-d {name}={files.root} gives nothing to sub-{files.participant}: {seen}; needed: {NEEDED}; "
        f"fix: {FIX}"
    )


def _seen(
    name: str, files: ParticipantFiles, found: Sequence[Acquisition | Unusable], options: ReadOptions
) -> str:
    """Say what a dataset holds of a participant, instead of what is needed."""
    images = [file for file in files.files if file.is_image and file.entities.get("sub") == files.participant]
    if not images:
        own = f"sub-{files.participant}"
        others = sorted(p.name for p in files.root.glob("sub-*") if p.is_dir() and p.name != own)
        listed = ", ".join(others[:MOST_NAMES]) + (", ..." if len(others) > MOST_NAMES else "")
        return f"it holds no image of this participant ({f'but of {listed}' if others else 'or of any'})"
    acquisitions = [one for one in found if isinstance(one, Acquisition)]
    masks = {mask.path.name for one in acquisitions for mask in _masks(files, name, one, options)}
    if masks:
        return f"masks on another grid ({_listed(sorted(masks))})"
    dwi = [image for image in images if image.suffix == "dwi"]
    versions = Counter(image.entities.get("desc", "none") for image in dwi)
    if len(versions) > 1 and "preproc" not in versions:
        return f"several versions of diffusion images and none is desc-preproc ({_listed(list(versions))})"
    hidden = [image for image in dwi if not matches(image, options.filters.get("dwi", {}))]
    if hidden:
        return f"images that --bids-filter-file leaves out ({_listed([i.path.name for i in hidden])})"
    return f"images that nothing here uses ({_listed([image.path.name for image in images])})"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
