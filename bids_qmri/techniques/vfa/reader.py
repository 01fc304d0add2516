"""Variable-flip-angle series: spoiled gradient echoes that differ in flip angle alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, B1Source, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.b1 import find_b1
from bids_qmri.bids.images import same_grid
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by, matches
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.preprocessed import Kind, Read, read_or_preprocessed
from bids_qmri.bids.scaling import common_scale
from bids_qmri.bids.sequence import NoModelError
from bids_qmri.bids.sidecar import Sidecar, common, flip_angle, read_sidecar, require_seconds
from bids_qmri.errors import InputError
from bids_qmri.files import one_fault
from bids_qmri.techniques.vfa.measured import Measured, measurements, require_angles
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import degrees, radians

SUFFIXES = ("VFA",)

VARYING = ("flip", "echo", "part")
"""Entities of images of one series."""

HIGH_FIELD = 2.9
"""T from which a missing transmit field is the largest error of T1: 10 % of B1 are 20 % of T1."""


def _angles(protocol: VfaProtocol) -> set[str]:
    return {f"{angle:.4g} degrees" for angle in degrees(protocol.flip_angle)}


KIND = Kind(SUFFIXES, VARYING, "FlipAngle", _angles)


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the VFA series of a participant; preprocessed images replace their raw ones.

    Parameters
    ----------
    files
        The raw dataset.
    derivatives
        Named datasets that may hold preprocessed images and B1 maps.
    options
        Sessions, filters, unit of B1 maps.
    others
        What was found before; not needed here.
    """
    filters = options.filters.get("vfa", {})
    images = [f for f in files.images(SUFFIXES) if matches(f, filters)]
    reader = _Reader(files, derivatives, options)
    groups = _with_named_flips(group_by(images, *VARYING), files)
    return read_or_preprocessed(KIND, groups, files, derivatives, filters, reader.one)


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
    require_angles(flip_angles)
    b1 = None if b1_map is None else B1Source("TB1map", (b1_map,), units=b1_units)
    return files_acquisition("vfa", "anat", in_files, protocol, b1=b1)


def _with_named_flips(groups: Sequence[list[BidsFile]], files: ParticipantFiles) -> list[list[BidsFile]]:
    """Join single images that are told apart by `acq-` alone, as before BIDS had `flip-`."""
    single = [group[0] for group in groups if len(group) == 1 and "flip" not in group[0].entities]
    joined = [group for group in group_by(single, "acq", *VARYING) if _are_flips(group, files)]
    gone = {image.path for group in joined for image in group}
    return [*joined, *(group for group in groups if group[0].path not in gone)]


def _are_flips(group: Sequence[BidsFile], files: ParticipantFiles) -> bool:
    """Whether images of one grid differ in flip angle."""
    if len(group) < 2:
        return False
    try:
        headers = [read_header(image.path) for image in group]
        angles = {flip_angle(read_sidecar(image, files), []) for image in group}
    except InputError:
        return False
    return len(angles) == len(group) and all(
        header.n_volumes == 1 and same_grid(header, headers[0]) for header in headers
    )


@dataclass(frozen=True, eq=False)
class _Reader:
    """Reads sets of images of one participant."""

    files: ParticipantFiles
    derivatives: Mapping[str, ParticipantFiles]
    options: ReadOptions

    def one(
        self, group: Sequence[BidsFile], read: Read, raw: Sequence[BidsFile], notes: Sequence[str]
    ) -> Acquisition | Unusable:
        """Return the acquisition of a set of images, or why it is none.

        `raw` are the images that it was made from, which transmit fields may name.
        """
        entities = group[0].without(*VARYING, "desc")
        said = list(notes)
        if len({image.entities.get("acq") for image in group}) > 1:
            entities.pop("acq")
            said.append(_named_by_acq(group))
        label = "_".join([*(f"{key}-{value}" for key, value in entities.items()), "VFA"])
        try:
            with one_fault(group[0].path):
                return self._acquisition(group, entities, read, raw, said)
        except NoModelError as reason:
            return Unusable(label, reason, fault=False)
        except InputError as error:
            return Unusable(label, error)

    def _acquisition(
        self,
        group: Sequence[BidsFile],
        entities: Mapping[str, str],
        read: Read,
        raw: Sequence[BidsFile],
        notes: list[str],
    ) -> Acquisition:
        found = measurements(group, {image.path: read(image) for image in group}, notes)
        images = tuple(dict.fromkeys(m.image.path for m in found))
        sidecars = [m.sidecar for m in found]
        scale = common_scale(sidecars, [read_header(m.image.path) for m in found], notes)
        b1 = find_b1(raw, self.files, self.derivatives, self.options, notes)
        if b1 is None:
            notes.append(_without_b1(sidecars[0]))
        json_files = dict.fromkeys(file for sidecar in sidecars for file in sidecar.files)
        return Acquisition(
            kind="vfa",
            entities=dict(entities),
            datatype="anat",
            images=images,
            sources=(*images, *json_files, *(b1.files if b1 else ())),
            metadata=common(sidecars),
            protocol=_protocol(found),
            b1=b1,
            notes=tuple(dict.fromkeys(notes)),
            scale=() if scale is None else tuple(map(float, scale)),
        )


def _protocol(found: Sequence[Measured]) -> VfaProtocol:
    return VfaProtocol(radians([m.angle for m in found]), np.array([m.repetition_time for m in found]))


def _named_by_acq(group: Sequence[BidsFile]) -> str:
    names = ", ".join(image.path.name for image in group)
    return (
        f"{names}: told apart by acq-, not by flip-: fitted together as flip angles of one series; fix: name"
        " them flip-1, flip-2, ... if that is right, or choose by --bids-filter-file if not"
    )


def _without_b1(sidecar: Sidecar) -> str:
    field = sidecar.values.get("MagneticFieldStrength")
    if isinstance(field, int | float) and field >= HIGH_FIELD:
        return (
            f"no B1+ map for these images at {field:g} T: T1 scales with the square of the flip angle"
            " actually reached and may be wrong by tens of percent"
        )
    return "no B1+ map for these images: nominal flip angles are used"
