"""Multi-parameter series: ``*_echo-N_flip-N_mt-on_MPM.nii.gz``; `saturation` reads those of one echo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, B1Source, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.alike import STEADY_STATE
from bids_qmri.bids.b1 import find_b1
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by, matches
from bids_qmri.bids.measured import measured_images, one_scale
from bids_qmri.bids.mt_state import mt_state
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.preprocessed import Kind, Read, read_or_preprocessed, told_by
from bids_qmri.bids.sequence import NoModelError, require_spoiled
from bids_qmri.bids.sidecar import (
    Sidecar,
    common,
    flip_angle,
    in_milliseconds,
    number,
    spoiled_repetition_time,
)
from bids_qmri.errors import InputError
from bids_qmri.files import one_fault
from bids_qmri.physics.echoes import LONGEST_GRADIENT_ECHO
from bids_qmri.techniques.mpm.protocol import MultiParameterProtocol
from bids_qmri.units import radians

SUFFIXES = ("MPM",)

VARYING = ("flip", "mt", "echo", "part")
"""Entities of images of one series."""


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
    filters = options.filters.get(kind, {})
    images = [f for f in files.images(suffixes) if matches(f, filters)]

    def make(
        images: Sequence[BidsFile], read: Read, raw: Sequence[BidsFile], notes: Sequence[str]
    ) -> Acquisition | Unusable:
        entities, said = images[0].without(*VARYING, "desc"), list(notes)
        if len({image.entities.get("acq") for image in images}) > 1:
            entities.pop("acq")
            said.append("told apart by acq-, and fitted together as weightings of one series")
        try:
            with one_fault(images[0].path):
                found = _acquisition(images, entities, read, said)
                return replace(_with_b1(found, raw, files, derivatives, options), kind=kind)
        except InputError as error:
            label = "_".join([*(f"{key}-{value}" for key, value in entities.items()), images[0].suffix])
            return Unusable(label, error, fault=not isinstance(error, NoModelError), kind=kind)

    groups = _with_named_weightings(group_by(images, *VARYING))
    told = told_by("FlipAngle", "EchoTime", "MTState")
    joined = any(len({image.entities.get("acq") for image in group}) > 1 for group in groups)
    varying = (*VARYING, "acq") if joined else VARYING
    series = Kind(tuple(suffixes), varying, "FlipAngle", told)
    return read_or_preprocessed(series, groups, files, derivatives, filters, make)


def _with_named_weightings(groups: Sequence[list[BidsFile]]) -> list[list[BidsFile]]:
    """Join images of one weighting each that are told apart by `acq-` too: ``acq-MTw``, ``acq-T1w``."""
    single = [group for group in groups if len(set(map(_weighting, group))) == 1]
    joined = []
    for group in group_by([image for one in single for image in one], "acq", *VARYING):
        names = [tuple(sorted(image.without("acq", "part").items())) for image in group]
        if len(set(map(_weighting, group))) > 1 and len(set(names)) == len(group):
            joined.append(group)
    gone = {image.path for group in joined for image in group}
    return [*joined, *(group for group in groups if group[0].path not in gone)]


def _weighting(image: BidsFile) -> tuple[str | None, str | None]:
    return image.entities.get("flip"), image.entities.get("mt")


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
    group: Sequence[BidsFile], entities: Mapping[str, str], read: Read, notes: list[str]
) -> Acquisition:
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
    spoiled = partial(require_spoiled, must_be_told=False)
    kept, own = measured_images(group, [read(image) for image in group], notes, spoiled)
    rows = [(*_row(image, sidecar, notes), image, sidecar) for image, sidecar in zip(kept, own, strict=True)]
    rows.sort(key=lambda row: row[:4])
    mt, flip, tr, te = (np.array([row[i] for row in rows], dtype=np.float64) for i in range(4))
    images = tuple(row[4].path for row in rows)
    sidecars = [row[5] for row in rows]
    echoes = ("EchoTime",) if any("echo" in image.entities for image in kept) else ()
    return Acquisition(
        kind="mpm",
        entities=dict(entities),
        datatype="anat",
        images=images,
        sources=(*images, *dict.fromkeys(file for sidecar in sidecars for file in sidecar.files)),
        metadata=common(sidecars),
        protocol=MultiParameterProtocol(radians(flip), tr, te, mt),
        scale=one_scale(sidecars, notes, (*STEADY_STATE, *echoes)),
        notes=tuple(dict.fromkeys(notes)),
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
        notes.append("no B1+ map for these images: nominal flip angles and MT pulses are used")
    sources = (*found.sources, *(b1.files if b1 else ()))
    return replace(found, b1=b1, sources=sources, notes=tuple(dict.fromkeys((*found.notes, *notes))))


def _row(image: BidsFile, sidecar: Sidecar, notes: list[str]) -> tuple[float, float, float, float]:
    """Return MT state, flip angle in degrees, repetition and echo time in s of an image."""
    echo = number(sidecar, "EchoTime", notes)
    if echo is None and "echo" not in image.entities:
        echo = 0.0
        notes.append("EchoTime is missing; the decay before the echo is taken as the same in all images")
    if echo is None or not 0 <= echo <= LONGEST_GRADIENT_ECHO:
        raise InputError(
            "is missing" if echo is None else f"is {echo:g}",
            file=sidecar.where("EchoTime"),
            field="EchoTime",
            needed=f"the echo time in s, at most {LONGEST_GRADIENT_ECHO:g}",
            fix=in_milliseconds(echo),
        )
    state = float(mt_state(image, sidecar))
    return state, flip_angle(sidecar, notes), spoiled_repetition_time(sidecar, notes), echo
