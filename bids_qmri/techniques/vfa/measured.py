"""Which images of a series are measurements of its model, and what was played out for each.

One 3-D image per flip angle, or one 4-D image whose sidecar lists an angle per volume. What is no measurement
(phase, another sequence, a pulse for magnetization transfer, a later echo) is left out by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_qmri.bids.alike import differences, has_mt, named
from bids_qmri.bids.layout import BidsFile
from bids_qmri.bids.measured import measurements_among, require_unique
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.sequence import require_spoiled
from bids_qmri.bids.sidecar import (
    Sidecar,
    by_volume,
    flip_angle,
    number,
    spoiled_repetition_time,
)
from bids_qmri.errors import InputError, caution

SMALLEST_LARGEST_ANGLE = 0.7
"""Degrees; a series whose largest angle is below it was surely written in radians."""

ONE_ANGLE = 1e-3
"""Relative difference up to which two flip angles are one: scanners round them."""

CLOSE_ANGLES = 1.2
"""Ratio of the largest to the smallest angle below which noise decides."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One measurement: an image, or a volume of one, with the metadata that hold for it."""

    image: BidsFile
    sidecar: Sidecar
    angle: float = 0.0
    repetition_time: float = 0.0


def measurements(
    group: Sequence[BidsFile], sidecars: Mapping[Path, Sidecar], notes: list[str]
) -> list[Measured]:
    """Return the measurements of a series in the order of their angles, those of a 4-D image as stored.

    Parameters
    ----------
    group
        Images that differ in flip angle and echo.
    sidecars
        By path of the image.
    notes
        Decisions and warnings are added here.

    Raises
    ------
    InputError
        If fewer than two flip angles are left, or a sidecar lacks what is needed.
    """
    require_unique(group)
    stored = [m for image in group for m in _volumes(image, sidecars, group)]
    kept, reasons = measurements_among([m.sidecar for m in stored], notes, require_spoiled)
    if not kept:
        raise reasons[0]
    left = _first_echo(_without_mt([stored[i] for i in kept], notes), notes)
    done = [
        Measured(m.image, m.sidecar, flip_angle(m.sidecar, notes), spoiled_repetition_time(m.sidecar, notes))
        for m in left
    ]
    if len({m.image.path for m in done}) > 1:
        done.sort(key=lambda m: (m.angle, m.repetition_time))
    elif len(done) < len(stored) and len(group) == 1:
        raise _no_part_of(done[0].image, reasons[0].seen if reasons else "MTState is on in others")
    _require_angles_left(done, notes)
    different = list(differences([m.sidecar for m in done]))
    if len(group) == 1 and any("EchoTime: differs" in note for note in different):
        times = ", ".join(str(m.sidecar.values.get("EchoTime")) for m in done)
        raise _no_part_of(done[0].image, f"EchoTime is {times}")
    notes += different
    notes += _doubts(done)
    return done


def require_angles(angles: Sequence[float], sidecar: Sidecar | None = None) -> None:
    """Refuse angles in degrees that are in radians, or all one angle.

    Raises
    ------
    InputError
        Naming the file if there is one.
    """
    file = None if sidecar is None else sidecar.where("FlipAngle")
    field = "flip_angles" if sidecar is None else "FlipAngle"
    listed = ", ".join(f"{angle:.7g}" for angle in angles)
    if max(angles) < SMALLEST_LARGEST_ANGLE:
        raise InputError(
            f"the angles are {listed}",
            file=file,
            field=field,
            needed="degrees",
            fix="multiply by 57.296 if they are in radians",
        )
    if max(angles) <= min(angles) * (1.0 + ONE_ANGLE):
        raise InputError(
            f"all {len(angles)} image(s) have one angle: {listed} degrees",
            file=file,
            field=field,
            needed="at least two different flip angles",
            fix="add the missing images or correct their FlipAngle",
        )


def _require_angles_left(done: Sequence[Measured], notes: Sequence[str]) -> None:
    """Refuse one angle; where others were left out, say why."""
    try:
        require_angles([m.angle for m in done], done[0].sidecar)
    except InputError as error:
        gone = [note for note in notes if "left out" in note]
        seen = f"{error.seen}, without what is left out ({' '.join(gone)})" if gone else error.seen
        raise InputError(
            seen, file=error.file, field=error.field, needed=error.needed, fix=error.fix
        ) from error


def _volumes(image: BidsFile, sidecars: Mapping[Path, Sidecar], group: Sequence[BidsFile]) -> list[Measured]:
    """Take an image apart; one of several volumes must list an angle for each and be alone."""
    header, sidecar = read_header(image.path), sidecars[image.path]
    count = header.n_volumes
    if count == 1:
        return [Measured(image, sidecar)]
    angles = sidecar.values.get("FlipAngle")
    if len(group) > 1 or not isinstance(angles, list) or len(angles) != count:
        listed = f"{len(angles)} values of" if isinstance(angles, list) else "one"
        raise InputError(
            f"has {count} volumes for {listed} FlipAngle"
            + (f", beside {len(group) - 1} other image(s)" if len(group) > 1 else ""),
            file=image.path,
            field="dim",
            needed="one 3-D image per flip angle, or one 4-D image with an array of its flip angles",
            fix="split it into files flip-1, flip-2, ... each with its FlipAngle, or write FlipAngle [...]",
        )
    return [Measured(image, one) for one in by_volume(sidecar, count)]


def _no_part_of(image: BidsFile, why: str) -> InputError:
    return InputError(
        f"only some of its volumes can be fitted together ({why})",
        file=image.path,
        field="dim",
        needed="volumes of one echo, without MT pulses, of spoiled gradient echoes",
        fix="split it into files flip-1, flip-2, ... each with its own metadata",
    )


def _without_mt(found: list[Measured], notes: list[str]) -> list[Measured]:
    """Leave out images with a pulse for magnetization transfer, where others have none."""
    weighted = [m for m in found if has_mt(m.sidecar)]
    if not weighted:
        return found
    names = ", ".join(dict.fromkeys(m.image.path.name for m in weighted))
    where, needed = weighted[0].sidecar.where("MTState"), "images without a pulse for magnetization transfer"
    if len(weighted) == len(found):
        seen = f"all images have a pulse for magnetization transfer ({names}): T1 is not that of free water"
        fix = "take images without it, or correct MTState"
        notes.append(caution(seen, file=where, field="MTState", needed=needed, fix=fix))
        return found
    seen = f"is on in {names}, not in the others; left out"
    fix = "correct MTState if there was no such pulse"
    notes.append(caution(seen, file=where, field="MTState", needed=needed, fix=fix))
    return [m for m in found if not has_mt(m.sidecar)]


def _first_echo(found: list[Measured], notes: list[str]) -> list[Measured]:
    """Keep the shortest echo (least T2* decay), by its index: minimum echo times depend on the angle."""
    labels = sorted({m.image.entities.get("echo", "") for m in found}, key=lambda text: (len(text), text))
    if labels == [""]:
        return found
    if len(labels) == 1:
        return found
    times: dict[str, list[float]] = {label: [] for label in labels}
    for m in found:
        if (time := number(m.sidecar, "EchoTime", notes)) is not None:
            times[m.image.entities.get("echo", "")].append(time)
    first = labels[0]
    if all(times.values()):
        first = min(labels, key=lambda label: float(np.median(times[label])))
    else:
        seen = f"is missing beside {len(labels)} echoes; echo-{first} is taken for the first"
        needed, fix = "the echo time in s of every image", "add the key"
        where = found[0].sidecar.where("EchoTime")
        notes.append(caution(seen, file=where, field="EchoTime", needed=needed, fix=fix))
    kept = [m for m in found if m.image.entities.get("echo", "") == first]
    shortest = f" ({1000 * float(np.median(times[first])):g} ms)" if times[first] else ""
    notes.append(f"{len(labels)} echoes found; only the first one{shortest} is fitted")
    flips = {m.image.entities.get("flip") for m in kept}
    if lacking := [m.image.path.name for m in found if m.image.entities.get("flip") not in flips]:
        notes.append(
            caution(
                f"no image of echo {first}; left out: {', '.join(lacking)}",
                file=kept[0].image.path.parent,
                field="echo",
                needed="the first echo of every flip angle",
                fix=f"add it (echo-{first})",
            )
        )
    return kept


def _doubts(found: Sequence[Measured]) -> list[str]:
    """Say what may spoil the fit of measurements that are alike."""
    said: list[str] = []
    sidecars = [m.sidecar for m in found]
    two_d = [s for s in sidecars if str(s.values.get("MRAcquisitionType", "")).upper() == "2D"]
    if two_d:
        said.append(
            caution(
                "is 2D: the flip angle varies across the slice profile, which moves T1 by tens of percent",
                file=two_d[0].where("MRAcquisitionType"),
                field="MRAcquisitionType",
                needed="3-D acquisitions",
                fix="take 3-D images, or correct the profile by a TB1map",
            )
        )
    angles = [m.angle for m in found]
    if max(angles) < CLOSE_ANGLES * min(angles):
        said.append(
            caution(
                f"the angles {min(angles):g} and {max(angles):g} degrees are so close that noise decides T1",
                file=sidecars[0].where("FlipAngle"),
                field="FlipAngle",
                needed="angles on both sides of the Ernst angle",
                fix="correct FlipAngle if it is wrong",
            )
        )
    if len({m.repetition_time for m in found}) > 1:
        key = "RepetitionTimeExcitation"
        key = key if key in sidecars[0].values else "RepetitionTime"
        text = named(sidecars, key, "each image is fitted with its own").partition("; needed")[0]
        said.append(text.replace(f"{key}: differs", f"{key}: the repetition time differs") + ".")
    return said
