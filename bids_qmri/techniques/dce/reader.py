"""Dynamic contrast-enhanced series: what they need beside their images, and where each value comes from.

BIDS does not define DCE. `perf/*_dce` is the canonical name; spellings in the wild are accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from bids_qmri.bids.acquisition import (
    Acquisition,
    B1Source,
    ReadOptions,
    Unusable,
    files_acquisition,
)
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, matches
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.preprocessed import Preprocessed, made_from, preprocessed, sidecar_of
from bids_qmri.bids.sequence import NoModelError
from bids_qmri.bids.sidecar import (
    Sidecar,
    read_sidecar,
    require_seconds,
)
from bids_qmri.errors import InputError, caution
from bids_qmri.files import one_fault
from bids_qmri.physics.protocol import frozen
from bids_qmri.techniques.dce.arterial import (
    DEFAULT_INPUT,
    read_input,
)
from bids_qmri.techniques.dce.frames import require_frame_seconds
from bids_qmri.techniques.dce.parts import split
from bids_qmri.techniques.dce.series import (
    DEFAULT_HEMATOCRIT,
    LONGEST_EXCITATION_TR,
    SeriesReader,
)
from bids_qmri.techniques.dce.settings import DceSettings, check
from bids_qmri.units import radians

FILTERS = ("t1map",)
"""Kinds of input, beside the series itself, that a filter file may filter."""

SUFFIXES = ("dce", "DCE", "Dce", "perf")
DATATYPES = ("perf", "dce", "anat", "func", "fmap")


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the DCE series of a participant.

    Parameters
    ----------
    files
        The raw dataset.
    derivatives
        Named datasets that may hold T1 maps, arterial inputs and transmit fields.
    options
        Values that override sidecars; filters.
    others
        What was found before, some of which can give native T1.
    """
    filters = options.filters.get("dce", {})
    images = [
        image for image in files.images(SUFFIXES) if _is_dynamic(image, files) and matches(image, filters)
    ]
    whole, parts = split(images, files)
    found: dict[Path, Acquisition | Unusable] = {}
    for image in whole:
        read = partial(read_sidecar, image, files)
        found[image.path] = _one(image, read, files, derivatives, others, options)
    made: list[Acquisition | Unusable] = []
    for one in preprocessed(SUFFIXES, derivatives, images, filters):
        image = one.images[0]
        behind = [raw for raw in images if made_from(image, raw)]
        if not behind and image.suffix.lower() != "dce":
            continue
        note = f"preprocessed ({one.words}); used instead of {_names(behind)}"
        read = partial(sidecar_of, image, one.files, behind, files)
        new = _one(image, read, files, derivatives, others, options, note)
        refused = _why_not(one, new, behind)
        if refused and behind:
            found |= {raw.path: _with_note(found[raw.path], refused) for raw in behind if raw.path in found}
            continue
        made.append(new)
        gone = {raw.path for raw in behind}
        found = {path: kept for path, kept in found.items() if path not in gone}
        parts = [part for part in parts if part.error.file not in {str(path) for path in gone}]
    return [*made, *found.values(), *parts]


def _is_dynamic(image: BidsFile, files: ParticipantFiles) -> bool:
    """Whether an image may be a dynamic series: in a folder where they are met, and no spin labelling."""
    if image.datatype.lower() not in DATATYPES:
        return False
    try:
        return "ArterialSpinLabelingType" not in read_sidecar(image, files).values
    except InputError:
        return True  # its reader says what is wrong


def _one(
    image: BidsFile,
    read: Callable[[], Sidecar],
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    others: Sequence[Acquisition | Unusable],
    options: ReadOptions,
    *notes: str,
) -> Acquisition | Unusable:
    try:
        with one_fault(image.path):
            return SeriesReader(image, read(), files, derivatives, others, options, notes).acquisition()
    except NoModelError as error:
        return Unusable(image.stem, error, fault=False)
    except InputError as error:
        return Unusable(image.stem, error)


def _names(images: Sequence[BidsFile]) -> str:
    return ", ".join(image.path.name for image in images) or "no raw image"


def _why_not(one: Preprocessed, made: Acquisition | Unusable, behind: Sequence[BidsFile]) -> str:
    """Return why a preprocessed series does not stand for its raw ones; empty if it does."""
    image = one.images[0]
    field, seen, fix = "dim", "", "mend it, or leave the dataset out of --derivatives"
    counts = (
        [read_header(i.path).n_volumes for i in (image, *behind)] if isinstance(made, Acquisition) else []
    )
    if one.others:
        labels = (image.entities.get("desc", ""), *one.others)
        field, seen = "desc", f"desc-{', desc-'.join(labels)}: which is meant?"
        fix = "name one of them desc-preproc, or leave one"
    elif isinstance(made, Unusable):
        field, seen, fix = made.error.field or "dim", made.error.seen, made.error.fix
    elif len(behind) == 1 and counts[0] != counts[1]:
        seen = f"{counts[0]} frames, but {counts[1]} in {behind[0].path.name}"
    if not seen:
        return ""
    return caution(
        f"{seen}; the raw series is fitted, not that of {one.words}",
        file=image.path,
        field=field,
        needed="a preprocessed series of all frames",
        fix=fix,
    )


def _with_note(one: Acquisition | Unusable, note: str) -> Acquisition | Unusable:
    return one if isinstance(one, Unusable) else replace(one, notes=(*one.notes, note))


def from_files(
    in_files: Sequence[Path],
    *,
    frame_times: Sequence[float],
    flip_angle: float,
    repetition_time: float,
    relaxivity: float,
    hematocrit: float = DEFAULT_HEMATOCRIT,
    t10: float | None = None,
    t1_map: Path | None = None,
    aif: str = DEFAULT_INPUT,
    aif_file: Path | None = None,
    baseline_volumes: int | None = None,
    b1_map: Path | None = None,
    b1_units: Literal["auto", "factor", "percent"] = "auto",
) -> Acquisition:
    """Return the acquisition of a dynamic series that does not lie in a dataset.

    Parameters
    ----------
    in_files
        The 4-D image of a spoiled gradient echo, alone.
    frame_times
        In s, one per volume.
    flip_angle, repetition_time
        In degrees; between excitations, in s.
    relaxivity, hematocrit
        r1 in L/mmol/s; fraction.
    t10, t1_map
        Native T1 in s: one number, or an image on the grid of the series.
    aif, aif_file
        Name of a population input; or a table of a measured one, which wins.
    baseline_volumes
        Frames before the bolus; not given: found from the mean curve.
    b1_map, b1_units
        Relative transmit field, and its unit.

    Raises
    ------
    InputError
        Naming what is missing or cannot be meant.
    """
    if (t10 is None) == (t1_map is None):
        raise InputError(
            "neither is given" if t10 is None else "both are given",
            field="t10, t1_map",
            needed="native T1: one number in s, or a map",
        )
    if len(in_files) != 1 or len(frame_times) != read_header(in_files[0]).n_volumes:
        raise InputError(
            f"{len(frame_times)} times beside {len(in_files)} image(s) {[str(path) for path in in_files]}",
            field="frame_times",
            needed="one 4-D image, and one time in s per volume",
        )
    check(
        {"t10": 1.0 if t10 is None else t10, "relaxivity": relaxivity, "hematocrit": hematocrit, "aif": aif}
    )
    require_seconds(repetition_time, LONGEST_EXCITATION_TR)
    require_frame_seconds(np.asarray(frame_times, dtype=np.float64), "frame_times")
    notes: list[str] = []
    source = read_input(None if aif_file else aif, aif_file, hematocrit, notes)[0]
    settings = DceSettings(
        time=frozen(frame_times, "frame_times"),
        flip_angle=float(radians(flip_angle)),
        repetition_time=repetition_time,
        relaxivity=relaxivity,
        hematocrit=hematocrit,
        baseline_volumes=baseline_volumes,
        aif=source,
        t10=t10,
    )
    b1 = None if b1_map is None else B1Source("TB1map", (b1_map,), units=b1_units)
    maps = {} if t1_map is None else {"t10": t1_map}
    return files_acquisition(
        "dce", "perf", in_files, None, settings=settings, maps=maps, b1=b1, notes=tuple(notes)
    )
