"""MP2RAGE: ``*_inv-N[_part-*]_MP2RAGE.nii.gz`` with phases, or the combined ``*_UNIT1.nii.gz``.

Timing comes from the sidecars of the images, or from that of the combined one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, B1Source, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.alike import STEADY_STATE
from bids_qmri.bids.b1 import find_b1
from bids_qmri.bids.image_type import part_of
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, matches
from bids_qmri.bids.measured import one_scale, require_unique
from bids_qmri.bids.nifti import value_range
from bids_qmri.bids.phases import TWELVE_BITS, phase_scale
from bids_qmri.bids.preprocessed import Kind, Read, read_or_preprocessed, told_by
from bids_qmri.bids.sequence import NoModelError
from bids_qmri.bids.sidecar import Sidecar, common, number, read_sidecar
from bids_qmri.errors import InputError
from bids_qmri.files import one_fault
from bids_qmri.techniques.mp2rage.protocol import Mp2rageProtocol
from bids_qmri.techniques.mp2rage.settings import Images
from bids_qmri.techniques.mp2rage.timing import KEYS, read_timing
from bids_qmri.units import radians

SUFFIXES = ("MP2RAGE", "UNIT1")
OWN = ("inv", "flip", "echo", "part")
"""Entities that differ between the images of one scan."""
KIND = Kind(SUFFIXES, OWN, "InversionTime", told_by("InversionTime"), magnitudes=False)


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the MP2RAGE scans of a participant."""
    filters = options.filters.get("mp2rage", {})
    groups: dict[tuple[tuple[str, str], ...], list[BidsFile]] = {}
    for file in files.all_parts(SUFFIXES):
        if matches(file, filters):
            groups.setdefault(tuple(sorted(file.without(*OWN, "desc").items())), []).append(file)

    def make(
        images: Sequence[BidsFile], read: Read, raw: Sequence[BidsFile], notes: Sequence[str]
    ) -> Acquisition | Unusable:
        entities = images[0].without(*OWN, "desc")
        label = "_".join([*(f"{key}-{value}" for key, value in entities.items()), "MP2RAGE"])
        try:
            with one_fault(images[0].path):
                # Preprocessed images often say nothing of the sequence.
                behind = {} if raw == images else {image: read_sidecar(image, files) for image in raw}
                timed = [behind[image] for image in behind if _is_timed(image, behind[image])]
                found = _acquisition(images, entities, read, timed, list(notes))
                return _with_b1(found, raw, files, derivatives, options)
        except InputError as error:
            return Unusable(label, error, fault=not isinstance(error, NoModelError), kind="mp2rage")

    return read_or_preprocessed(KIND, list(groups.values()), files, derivatives, filters, make)


def from_files(
    in_files: Sequence[Path],
    *,
    inversion_times: Sequence[float],
    flip_angles: Sequence[float],
    repetition_time: float,
    cycle_time: float,
    shots: Sequence[float],
    b1_map: Path | None = None,
) -> Acquisition:
    """Return the acquisition of a combined image that does not lie in a dataset.

    Parameters
    ----------
    in_files
        The combined image, alone.
    inversion_times
        Of both images, in s.
    flip_angles
        Of both, in degrees.
    repetition_time, cycle_time
        Between excitations and between inversions, in s.
    shots
        Excitations of a train before and from its centre on.
    b1_map
        Relative transmit field; interpolated if it is on another grid.
    """
    if len(in_files) != 1:
        raise InputError(f"{len(in_files)} images", field="in_files", needed="the combined image, alone")
    protocol = Mp2rageProtocol(
        np.array(inversion_times),
        radians(flip_angles),
        np.asarray(repetition_time),
        np.asarray(cycle_time),
        np.array(shots),
        np.asarray(1.0),
    )
    b1 = None if b1_map is None else B1Source("TB1map", (b1_map,))
    return files_acquisition("mp2rage", "anat", in_files, protocol, b1=b1, settings=_uniform(in_files[0]))


def _acquisition(
    group: Sequence[BidsFile],
    entities: Mapping[str, str],
    read: Read,
    behind: Sequence[Sidecar],
    notes: list[str],
) -> Acquisition:
    require_unique(group)
    sidecars = {image: read(image) for image in group}
    images, settings, timing = _chosen(group, sidecars, behind, notes)
    own = [sidecars[image] for image in images]
    scale: tuple[float, ...] = ()
    if settings.uniform_scale == 0 and (found := one_scale(own[:2], notes, STEADY_STATE)):
        scale = (*found, *[1.0] * len(own[2:]))
    return Acquisition(
        kind="mp2rage",
        entities=dict(entities),
        datatype="anat",
        images=tuple(image.path for image in images),
        sources=(
            *(image.path for image in images),
            *dict.fromkeys(file for sidecar in (*own, *behind) for file in sidecar.files),
        ),
        metadata={key: value for key, value in common(own).items() if key not in KEYS},
        protocol=Mp2rageProtocol(**timing),
        settings=settings,
        notes=tuple(dict.fromkeys(notes)),
        scale=scale,
    )


def _with_b1(
    found: Acquisition,
    raw: Sequence[BidsFile],
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
) -> Acquisition:
    notes: list[str] = []
    b1 = find_b1(raw, files, derivatives, options, notes)
    if b1 is None:
        notes.append("no B1+ map for these images: nominal flip angles are used")
    sources = (*found.sources, *(b1.files if b1 else ()))
    return replace(found, b1=b1, sources=sources, notes=tuple(dict.fromkeys((*found.notes, *notes))))


def _chosen(
    group: Sequence[BidsFile],
    sidecars: Mapping[BidsFile, Sidecar],
    behind: Sequence[Sidecar],
    notes: list[str],
) -> tuple[tuple[BidsFile, ...], Images, dict[str, Any]]:
    """Return the images that are fitted, what they hold, and the timing of the sequence."""
    part = {image: part_of(image, sidecars[image]) for image in group}
    uniform = [image for image in group if image.suffix == "UNIT1" and part[image] == "mag"]
    single = [image for image in group if _is_first_echo(image)]
    magnitudes, phases = (_inversions(single, part, which, sidecars) for which in ("mag", "phase"))
    own = [sidecars[image] for image in (*magnitudes, *uniform)]
    timing = read_timing([*own, *behind], single, notes)
    if len(magnitudes) == len(phases) == 2:
        return (
            (*magnitudes, *phases),
            Images(phase_scale=phase_scale([image.path for image in phases])),
            timing,
        )
    if uniform:
        if single:
            notes.append(f"no phases of both images: {uniform[0].path.name} is used, without error bars")
        # The second image shows where tissue is; the combined one is as bright in air.
        images = (uniform[0], *magnitudes[1:])
        combined = np.asarray(float(len(images)))
        if len(images) == 1:
            notes.append(
                f"{uniform[0].path.name} alone: air has values of any size in it, and T1 there says nothing;"
                " fix: give a mask (-d masks=PATH), or the magnitude of the second inversion"
            )
        return images, _uniform(uniform[0].path), {**timing, "combined": combined}
    raise NoModelError(
        f"{len(magnitudes)} magnitude and {len(phases)} phase image(s), no UNIT1: T1 is ambiguous",
        file=group[0].path,
        field="part",
        needed="magnitude and phase of both inversions, or the combined image",
        fix="add the phase images as part-phase, or the scanner's UNIT1",
    )


def _is_first_echo(image: BidsFile) -> bool:
    return image.suffix == "MP2RAGE" and image.indexed().get("echo", "1") == "1"


def _is_timed(image: BidsFile, sidecar: Sidecar) -> bool:
    """Whether an image stands for one of both trains."""
    return _is_first_echo(image) and part_of(image, sidecar) == "mag"


def _inversions(
    images: Sequence[BidsFile],
    part: Mapping[BidsFile, str],
    which: str,
    sidecars: Mapping[BidsFile, Sidecar],
) -> list[BidsFile]:
    """Return the images of one part in the order of their inversion times."""
    own = [image for image in images if part[image] == which]
    if len(own) > 2:
        raise InputError(
            f"{len(own)} images of part {which}",
            file=own[0].path,
            field="inv",
            needed="two inversions",
            fix="leave others out with --bids-filter-file",
        )
    times = {image: number(sidecars[image], "InversionTime", []) for image in own}
    _require_order(times, sidecars)
    return sorted(own, key=lambda image: times[image] or 0.0)


def _require_order(times: Mapping[BidsFile, float | None], sidecars: Mapping[BidsFile, Sidecar]) -> None:
    """Refuse images whose labels of inversions contradict their times."""
    labelled = sorted(times, key=lambda image: int(image.indexed().get("inv", "0")))
    if len(labelled) < 2 or len({image.indexed().get("inv") for image in labelled}) < 2:
        return
    (first, early), (second, late) = ((image, times[image]) for image in labelled)
    if early is not None and late is not None and early > late:
        names = [f"inv-{image.entities.get('inv')}" for image in (first, second)]
        raise InputError(
            f"is {early:g} of {names[0]}, and {late:g} in {sidecars[second].where('InversionTime').name}",
            file=sidecars[first].where("InversionTime"),
            field="InversionTime",
            needed=f"a shorter time in s from the inversion to {names[0]} than to {names[1]}",
            fix="exchange the two values, or the labels of the images where these are wrong",
        )


def _uniform(path: Path) -> Images:
    """Return how values of a combined image are scaled: within half of 1, or as integers of twelve bits."""
    low, high = value_range(path)
    if low >= -0.51 and high <= 0.51:
        return Images(uniform_scale=1.0)
    if low >= 0 and high <= TWELVE_BITS + 1 and high > 100:
        return Images(uniform_scale=TWELVE_BITS, uniform_shift=-0.5)
    raise InputError(
        f"values from {low:g} to {high:g}",
        file=path,
        needed="a combined image from -0.5 to 0.5, or from 0 to 4095",
        fix="scale it, or give the magnitudes and phases of both images",
    )
