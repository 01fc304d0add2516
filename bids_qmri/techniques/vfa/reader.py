"""Variable-flip-angle series: spoiled gradient echoes that differ in flip angle alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, B1Source, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.b1 import find_b1
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by, matches
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.sidecar import (
    BALANCED,
    SPOILED,
    Sidecar,
    common,
    flip_angle,
    number,
    read_sidecar,
    require_seconds,
    spoiled_repetition_time,
)
from bids_qmri.errors import InputError
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import radians

SUFFIXES = ("VFA",)

HIGH_FIELD = 2.9
"""T from which a missing transmit field is the largest error of T1: 10 % of B1 are 20 % of T1."""

SMALLEST_LARGEST_ANGLE = 0.7
"""Degrees; a series whose largest angle is below it was surely written in radians."""


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the VFA series of a participant.

    Parameters
    ----------
    files
        The raw dataset.
    derivatives
        Named datasets that may hold B1 maps.
    options
        Sessions, filters, unit of B1 maps.
    others
        What was found before; not needed here.
    """
    images = [f for f in files.images(SUFFIXES) if matches(f, options.filters.get("vfa", {}))]
    found: list[Acquisition | Unusable] = []
    for group in group_by(images, "flip", "echo", "part"):
        entities = group[0].without("flip", "echo", "part")
        label = "_".join([*(f"{key}-{value}" for key, value in entities.items()), "VFA"])
        try:
            found.append(_acquisition(group, entities, files, derivatives, options))
        except _NoModelError as reason:
            found.append(Unusable(label, reason, fault=False))
        except InputError as error:
            found.append(Unusable(label, error))
    return found


def from_files(
    in_files: Sequence[Path],
    *,
    flip_angles: Sequence[float],
    repetition_time: float,
    b1_map: Path | None = None,
    b1_units: Literal["auto", "factor", "percent"] = "auto",
) -> Acquisition:
    """Return the acquisition of images that do not lie in a dataset.

    Parameters
    ----------
    in_files
        One 3-D image per flip angle, magnitudes.
    flip_angles
        In degrees, in the order of the images.
    repetition_time
        Between excitations, in s.
    b1_map
        Relative transmit field; interpolated if it is on another grid.
    b1_units
        Unit of it.

    Raises
    ------
    InputError
        Naming what does not fit together.
    """
    if len(flip_angles) != len(in_files):
        raise InputError(
            f"{len(flip_angles)} flip angles beside {len(in_files)} images",
            field="flip_angles",
            needed="one per image, in degrees",
        )
    require_seconds(repetition_time)
    protocol = VfaProtocol(radians(flip_angles), np.full(len(in_files), repetition_time))
    if max(flip_angles) < SMALLEST_LARGEST_ANGLE or len(set(flip_angles)) < 2:
        raise InputError(
            f"are {[f'{angle:g}' for angle in flip_angles]}",
            field="flip_angles",
            needed="at least two different angles in degrees",
        )
    b1 = None if b1_map is None else B1Source("TB1map", (b1_map,), units=b1_units)
    return files_acquisition("vfa", "anat", in_files, protocol, b1=b1)


class _NoModelError(InputError):
    """The series is sound, but nothing here can fit it."""


def _acquisition(
    group: Sequence[BidsFile],
    entities: Mapping[str, str],
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
) -> Acquisition:
    notes: list[str] = []
    sidecars = {image.path: read_sidecar(image, files) for image in group}
    for image in group:
        _require_one_volume(image)
        _require_spoiled(sidecars[image.path])
    chosen = _first_echo(group, sidecars, notes)
    measured = []
    for image in chosen:
        sidecar = sidecars[image.path]
        measured.append((flip_angle(sidecar, notes), spoiled_repetition_time(sidecar, notes), image))
    measured.sort(key=lambda one: one[:2])
    angles = [angle for angle, _, _ in measured]
    _require_angles(angles, sidecars[chosen[0].path])
    ordered = [sidecars[image.path] for _, _, image in measured]
    if any("PulseSequenceType" not in sidecar.values for sidecar in ordered):
        notes.append("PulseSequenceType is missing; the series is taken as spoiled (SPGR)")
    if len({tr for _, tr, _ in measured}) > 1:
        notes.append("the repetition time differs between flip angles; each image is fitted with its own")
    images = tuple(image for _, _, image in measured)
    b1 = find_b1(images, files, derivatives, options, notes)
    if b1 is None:
        notes.append(_without_b1(ordered[0]))
    json_files = dict.fromkeys(file for sidecar in ordered for file in sidecar.files)
    return Acquisition(
        kind="vfa",
        entities=dict(entities),
        datatype="anat",
        images=tuple(image.path for image in images),
        sources=(*(image.path for image in images), *json_files, *(b1.files if b1 else ())),
        metadata=common(ordered),
        protocol=VfaProtocol(radians(angles), np.array([tr for _, tr, _ in measured])),
        b1=b1,
        notes=tuple(dict.fromkeys(notes)),
    )


def _require_one_volume(image: BidsFile) -> None:
    header = read_header(image.path)
    if header.n_volumes > 1:
        raise InputError(
            f"has {header.n_volumes} volumes for one FlipAngle",
            file=image.path,
            field="dim",
            needed="one 3-D image per flip angle",
            fix="split it into files flip-1, flip-2, ... each with its FlipAngle",
        )


def _require_spoiled(sidecar: Sidecar) -> None:
    sequence = str(sidecar.values.get("PulseSequenceType", "SPGR"))
    where = sidecar.where("PulseSequenceType")
    if BALANCED.search(sequence):
        raise _NoModelError(
            f"is {sequence!r}, for which there is no model yet",
            file=where,
            field="PulseSequenceType",
            needed="a spoiled gradient echo (SPGR, FLASH, T1-FFE, GRE)",
            fix="leave it out; DESPOT2 is not supported",
        )
    if not SPOILED.search(sequence):
        raise InputError(
            f"is {sequence!r}",
            file=where,
            field="PulseSequenceType",
            needed="a spoiled gradient echo (SPGR, FLASH, T1-FFE, GRE)",
            fix="correct the key if the sequence is spoiled",
        )


def _first_echo(
    group: Sequence[BidsFile], sidecars: Mapping[Path, Sidecar], notes: list[str]
) -> list[BidsFile]:
    """Keep the shortest echo per flip angle (least T2* decay) and refuse two images of one name."""
    names = [image.stem for image in group]
    twice = [image for image in group if names.count(image.stem) > 1]
    if twice:
        raise InputError(
            f"exists twice: {', '.join(sorted(image.path.name for image in twice))}",
            file=twice[0].path.parent,
            needed="one image per name",
            fix="remove one of them",
        )
    if not any("echo" in image.entities for image in group):
        return list(group)
    times: dict[float, list[BidsFile]] = {}
    for image in group:
        sidecar = sidecars[image.path]
        time = number(sidecar, "EchoTime", notes)
        if time is None:
            raise InputError(
                "is missing beside several echoes",
                file=sidecar.where("EchoTime"),
                field="EchoTime",
                needed="the echo time in s of every image",
                fix="add the key",
            )
        times.setdefault(time, []).append(image)
    shortest = min(times)
    if len(times) > 1:
        notes.append(f"{len(times)} echoes found; only the first one ({1000 * shortest:g} ms) is fitted")
    return times[shortest]


def _require_angles(angles: Sequence[float], sidecar: Sidecar) -> None:
    if max(angles) < SMALLEST_LARGEST_ANGLE:
        raise InputError(
            f"the angles are {[f'{angle:g}' for angle in angles]}",
            file=sidecar.where("FlipAngle"),
            field="FlipAngle",
            needed="degrees",
            fix="multiply by 57.296 if they are in radians",
        )
    if len(set(angles)) < 2:
        raise InputError(
            f"all {len(angles)} image(s) have {angles[0]:g} degrees",
            file=sidecar.where("FlipAngle"),
            field="FlipAngle",
            needed="at least two different flip angles",
            fix="add the missing images or correct their FlipAngle",
        )


def _without_b1(sidecar: Sidecar) -> str:
    field = sidecar.values.get("MagneticFieldStrength")
    if isinstance(field, int | float) and field >= HIGH_FIELD:
        return (
            f"no B1+ map for these images at {field:g} T: T1 scales with the square of the flip angle"
            " actually reached and may be wrong by tens of percent"
        )
    return "no B1+ map for these images: nominal flip angles are used"
