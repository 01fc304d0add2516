"""Multi-parameter series: ``*_echo-N_flip-N_mt-on_MPM.nii.gz``; `saturation` reads those of one echo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, B1Source, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.b1 import find_b1
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by, matches
from bids_qmri.bids.mt_state import mt_state
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.sidecar import (
    Sidecar,
    common,
    flip_angle,
    number,
    read_sidecar,
    spoiled_repetition_time,
)
from bids_qmri.errors import InputError
from bids_qmri.physics.echoes import LONGEST_ECHO_TIME
from bids_qmri.techniques.mpm.protocol import MultiParameterProtocol
from bids_qmri.units import radians

SUFFIXES = ("MPM",)


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the multi-parameter series of a participant."""
    return find_weightings("mpm", SUFFIXES, files, derivatives, options)


def find_weightings(
    kind: str,
    suffixes: Sequence[str],
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
) -> list[Acquisition | Unusable]:
    """Find series of several weightings.

    Parameters
    ----------
    kind, suffixes
        Of the acquisitions, and of their images.
    files, derivatives, options
        As of `find`.
    """
    images = [f for f in files.images(suffixes) if matches(f, options.filters.get(kind, {}))]
    found: list[Acquisition | Unusable] = []
    for group in group_by(images, "flip", "mt", "echo", "part"):
        entities = group[0].without("flip", "mt", "echo", "part")
        try:
            found.append(replace(_acquisition(group, entities, files, derivatives, options), kind=kind))
        except InputError as error:
            label = "_".join([*(f"{key}-{value}" for key, value in entities.items()), group[0].suffix])
            found.append(Unusable(label, error, kind=kind))
    return found


def from_files(
    in_files: Sequence[Path],
    *,
    flip_angles: Sequence[float],
    repetition_times: Sequence[float],
    echo_times: Sequence[float],
    mt: Sequence[float],
    b1_map: Path | None = None,
) -> Acquisition:
    """Return the acquisition of images that do not lie in a dataset.

    Parameters
    ----------
    in_files
        One 3-D magnitude image for each entry of what follows.
    flip_angles
        In degrees.
    repetition_times, echo_times
        In s.
    mt
        1 with an MT pulse, 0 without.
    b1_map
        Relative transmit field; interpolated if it is on another grid.

    Raises
    ------
    InputError
        If their numbers differ.
    """
    given = {
        "flip_angles": flip_angles,
        "repetition_times": repetition_times,
        "echo_times": echo_times,
        "mt": mt,
    }
    for field, values in given.items():
        if len(values) != len(in_files):
            raise InputError(
                f"{len(values)} values beside {len(in_files)} images", field=field, needed="one per image"
            )
    protocol = MultiParameterProtocol(
        radians(flip_angles), np.array(repetition_times), np.array(echo_times), np.array(mt)
    )
    b1 = None if b1_map is None else B1Source("TB1map", (b1_map,))
    return files_acquisition("mpm", "anat", in_files, protocol, b1=b1)


def _acquisition(
    group: Sequence[BidsFile],
    entities: Mapping[str, str],
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
) -> Acquisition:
    notes: list[str] = []
    rows = []
    for image in group:
        volumes = read_header(image.path).n_volumes
        if volumes > 1:
            raise InputError(
                f"has {volumes} volumes",
                file=image.path,
                field="dim",
                needed="one 3-D image for each weighting and echo",
                fix="split it into files with flip-, mt- and echo-, each with its sidecar",
            )
        sidecar = read_sidecar(image, files)
        rows.append((*_row(image, sidecar, notes), image, sidecar))
    rows.sort(key=lambda row: row[:4])
    mt, flip, tr, te = (np.array([row[i] for row in rows], dtype=np.float64) for i in range(4))
    images = tuple(row[4] for row in rows)
    sidecars = [row[5] for row in rows]
    b1 = find_b1(images, files, derivatives, options, notes)
    if b1 is None:
        notes.append("no B1+ map for these images: nominal flip angles and MT pulses are used")
    return Acquisition(
        kind="mpm",
        entities=dict(entities),
        datatype="anat",
        images=tuple(image.path for image in images),
        sources=(
            *(image.path for image in images),
            *dict.fromkeys(file for sidecar in sidecars for file in sidecar.files),
            *(b1.files if b1 else ()),
        ),
        metadata=common(sidecars),
        protocol=MultiParameterProtocol(radians(flip), tr, te, mt),
        b1=b1,
        notes=tuple(dict.fromkeys(notes)),
    )


def _row(image: BidsFile, sidecar: Sidecar, notes: list[str]) -> tuple[float, float, float, float]:
    """Return MT state, flip angle in degrees, repetition and echo time in s of an image."""
    echo = number(sidecar, "EchoTime", notes)
    if echo is None and "echo" not in image.entities:
        echo = 0.0
        notes.append("EchoTime is missing; the decay before the echo is taken as the same in all images")
    if echo is None or not 0 <= echo <= LONGEST_ECHO_TIME:
        raise InputError(
            "is missing" if echo is None else f"is {echo:g}",
            file=sidecar.where("EchoTime"),
            field="EchoTime",
            needed=f"the echo time in s, at most {LONGEST_ECHO_TIME:g}",
            fix="add the key" if echo is None else "divide milliseconds by 1000",
        )
    state = float(mt_state(image, sidecar))
    return state, flip_angle(sidecar, notes), spoiled_repetition_time(sidecar, notes), echo
