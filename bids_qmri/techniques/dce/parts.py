"""Dynamic series that are stored in parts: one file per frame, or before and after contrast agent apart.

What the parts have in common is all but an index; when each was taken is not told by any key that can be
trusted (converters write equal or wrong times), so they are not joined, but named in one message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from bids_qmri.bids.acquisition import Unusable
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.sidecar import read_sidecar
from bids_qmri.errors import InputError

NUMBERED = ("run", "chunk", "phase", "vol", "volume", "frame", "dyn", "time")
"""Entities that count parts of one series."""

INDICES = (*NUMBERED, "acq", "rec", "echo", "part", "desc")
"""Entities by which people tell parts of one series apart."""

BEFORE = re.compile(r"^(pre|before|native|nocontrast|noce)", re.IGNORECASE)
AFTER = re.compile(r"^(post|after|dyn)", re.IGNORECASE)
"""Labels of parts before and after contrast agent."""

CLOCKS = ("VolumeTiming", "FrameTimesStart", "AcquisitionTime", "TriggerTime", "ContentTime")
"""Keys that may tell when a part was taken."""


def split(images: Sequence[BidsFile], files: ParticipantFiles) -> tuple[list[BidsFile], list[Unusable]]:
    """Return the series that stand alone, and one message for each set of parts.

    Parameters
    ----------
    images
        All dynamic images of a participant.
    files
        The dataset.
    """
    whole: list[BidsFile] = []
    found: list[Unusable] = []
    for group in group_by(images, *INDICES):
        counts = _volumes(group)
        long = [image for image, count in zip(group, counts, strict=True) if count > 1]
        single = [image for image, count in zip(group, counts, strict=True) if count == 1]
        if len(group) == 1 or (not single and not _apart(long, files)):
            whole += group
        elif not long or not single or _begins(group, long, single, files):
            found.append(_message(group, counts, files))
        else:
            whole += long
            found += [_message(single, [1] * len(single), files)] if len(single) > 1 else _stray(single)
    return whole, found


def _volumes(group: Sequence[BidsFile]) -> list[int]:
    """Return the volumes of every image; those of a damaged one count as many, for its reader names it."""
    counts = []
    for image in group:
        try:
            counts.append(read_header(image.path).n_volumes)
        except InputError:
            counts.append(2)
    return counts


def _begins(
    group: Sequence[BidsFile], long: Sequence[BidsFile], single: Sequence[BidsFile], files: ParticipantFiles
) -> bool:
    """Whether the one long series lacks its first frames, which are among the single images."""
    if len(long) > 1:
        return False
    before = any(BEFORE.search(label) for image in single for label in image.entities.values())
    started = _starts(long[0], files)
    first = list(group).index(single[0]) == 0 and bool(set(NUMBERED) & set(single[0].entities))
    return before or first or (started is not None and started[0] > 0)


def _apart(long: Sequence[BidsFile], files: ParticipantFiles) -> bool:
    """Whether long series are the frames before and after contrast agent of one."""
    labels = [label for image in long for label in image.without("sub", "ses").values()]
    if any(map(BEFORE.search, labels)) and any(map(AFTER.search, labels)):
        return True
    times = [_starts(image, files) for image in long]
    return all(
        one is not None and other is not None and other[0] >= one[-1] > 0 for one, other in pairwise(times)
    )


def _starts(image: BidsFile, files: ParticipantFiles) -> list[float] | None:
    """Return the listed times of a series, None if there are none."""
    try:
        values = read_sidecar(image, files).values
        return [float(one) for one in values.get("VolumeTiming", values.get("FrameTimesStart", ()))] or None
    except (InputError, TypeError, ValueError):
        return None


def _message(group: Sequence[BidsFile], counts: Sequence[int], files: ParticipantFiles) -> Unusable:
    names = [image.path.name for image in group]
    many = "one volume each" if set(counts) == {1} else f"{' + '.join(map(str, counts))} volumes"
    listed = ", ".join(names if len(names) < 4 else [names[0], names[1], "...", names[-1]])
    shared = {
        key: label
        for key, label in group[0].entities.items()
        if all(image.entities.get(key) == label for image in group)
    }
    stem = "_".join([*(f"{key}-{label}" for key, label in shared.items()), group[0].suffix])
    return Unusable(
        stem,
        InputError(
            f"{len(group)} files hold parts of one series ({listed}: {many}){_clock(group, files)}",
            file=group[0].path,
            field="dim",
            needed="one 4-D image of all frames, those before contrast agent first, with their starts in s",
            fix=f"merge them in the order of time (fslmerge -t {stem}.nii.gz ..., or mrcat -axis 3), write"
            " VolumeTiming for all frames beside it, and move the parts away (or give them to .bidsignore)",
        ),
    )


def _clock(group: Sequence[BidsFile], files: ParticipantFiles) -> str:
    """Say what the files tell of their times."""
    for key in CLOCKS:
        try:
            values: list[Any] = [read_sidecar(image, files).values.get(key) for image in group]
        except InputError:
            return ""
        if all(value is not None for value in values) and len({str(value) for value in values}) > 1:
            listed = [_short(value) for value in values]
            few = listed if len(listed) < 4 else [*listed[:3], "...", listed[-1]]
            return f"; their {key}: {', '.join(few)}"
    return ""


def _short(value: Any) -> str:
    return f"{value[0]} to {value[-1]}" if isinstance(value, list) and value else str(value)


def _stray(single: Sequence[BidsFile]) -> list[Unusable]:
    """Name one image that is no series beside one that is."""
    return [
        Unusable(
            image.stem,
            InputError(
                "is a single volume beside a dynamic series",
                file=image.path,
                field="dim",
                needed="a 4-D image, one volume per frame",
                fix="merge it into the series if it belongs to it (and add its time), or move it away",
            ),
            fault=False,
        )
        for image in single
    ]
