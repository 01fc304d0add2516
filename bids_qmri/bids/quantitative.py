"""Quantitative images that nothing here fits: each is named, so that nobody wonders where its map is.

Suffixes of the qMRI appendix of BIDS, and of the older names that its examples still hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bids_qmri import catalogue
from bids_qmri.bids.acquisition import Acquisition, Unusable
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by
from bids_qmri.errors import InputError

COLLECTIONS = ("VFA", "IRT1", "MP2RAGE", "MESE", "MEGRE", "MPM", "MTS", "MTR", "PDT2")
"""Series of images from which maps are fitted."""

FIELDS = (
    *("TB1DAM", "TB1EPI", "TB1AFI", "TB1TFL", "TB1RFM", "TB1SRGE", "TB1map"),
    *("RB1COR", "RB1map"),
)
"""Images and maps of transmit and receive fields, which correct other fits."""

MAPS = (
    *("T1map", "R1map", "T2map", "R2map", "T2starmap", "R2starmap", "T1rho", "PDmap", "M0map", "S0map"),
    *("MTRmap", "MTsat", "MTVmap", "MWFmap", "Chimap", "UNIT1"),
)
"""What others computed already."""

CORRECTED = ("VFA", "MESE", "MPM", "MTS", "MP2RAGE")
"""Series of images that a transmit field corrects."""

VARYING = ("inv", "echo", "flip", "mt", "part")
"""Entities in which the images of one series may differ."""


def without_model(files: ParticipantFiles, found: Sequence[Acquisition | Unusable]) -> list[Unusable]:
    """Return what is quantitative and not read, one entry per series.

    Parameters
    ----------
    files
        The raw dataset of a participant.
    found
        What readers made of it.
    """
    read = [catalogue.load(f"{module}:SUFFIXES") for module in catalogue.readers().values()]
    known = {suffix for suffixes in read for suffix in suffixes}
    used = {path for one in found if isinstance(one, Acquisition) for path in _used(one)}
    refused = {one.error.file for one in found if isinstance(one, Unusable)}
    # Whoever uses one map of a suffix has chosen among all of them.
    chosen = {path.name.partition(".")[0].rpartition("_")[2] for path in used if isinstance(path, Path)}
    kinds: list[tuple[tuple[str, ...], str, str]] = [
        (COLLECTIONS, "for which there is no model yet", "the other images are not affected"),
        (FIELDS, "that no fit here uses", "none needed unless a flip angle series should be corrected by it"),
        (MAPS, "computed already: there is nothing to fit", "give the images it was computed from"),
    ]
    if any(isinstance(one, Unusable) and one.fault and _is_corrected(one) for one in found):
        # What would have used a field was refused, which is said: of the field there is nothing to say.
        del kinds[1]
    fitted = ", ".join(suffixes[0] for suffixes in read)
    unread: list[Unusable] = []
    # Whoever could have used a field has said why it did not.
    said = " ".join(_said(one) for one in found)
    for suffixes, why, fix in kinds:
        images = _images(files, set(suffixes) - known - chosen)
        for group in group_by(images, *VARYING):
            known_of = any(i.path in used or i.path in refused or i.path.name in said for i in group)
            if not known_of:
                unread.append(_named(group, why, fix, fitted))
    return unread


def _is_corrected(one: Unusable) -> bool:
    return one.label.rpartition("_")[2].startswith(CORRECTED)


def _said(found: Acquisition | Unusable) -> str:
    return " ".join(found.notes) if isinstance(found, Acquisition) else str(found.error)


def _used(found: Acquisition) -> list[object]:
    b1 = () if found.b1 is None else found.b1.files
    return [*found.sources, *b1, *found.maps.values()]


def _images(files: ParticipantFiles, suffixes: set[str]) -> list[BidsFile]:
    """Return the images of some suffixes, those that hold no magnitudes too."""
    return [
        file
        for file in files.files
        # Scanners put maps of their own beside diffusion series.
        if file.is_image
        and file.suffix in suffixes
        and file.datatype != "dwi"
        and file.entities.get("sub") == files.participant
    ]


def _named(group: Sequence[BidsFile], why: str, fix: str, fitted: str) -> Unusable:
    first = group[0]
    stem = "_".join(f"{key}-{value}" for key, value in first.without(*VARYING).items())
    return Unusable(
        label=f"{stem}_{first.suffix}",
        error=InputError(
            f"{len(group)} {first.suffix} image(s), {why}",
            file=first.path,
            needed=f"images with a suffix {fitted}",
            fix=fix,
        ),
        fault=False,
    )
