"""Spin echoes at several echo times: ``sub-01_echo-N_TOYSE.nii.gz``, an image for each EchoTime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by, matches
from bids_qmri.bids.sidecar import Sidecar, common, number, read_sidecar
from bids_qmri.errors import InputError
from toy.protocol import ToyProtocol

SUFFIXES = ("TOYSE",)


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the echo series of a participant."""
    images = [f for f in files.images(SUFFIXES) if matches(f, options.filters.get("toy", {}))]
    found: list[Acquisition | Unusable] = []
    for group in group_by(images, "echo", "part"):
        entities = group[0].without("echo", "part")
        try:
            found.append(_acquisition(group, entities, files))
        except InputError as error:
            label = "_".join([*(f"{key}-{value}" for key, value in entities.items()), "TOYSE"])
            found.append(Unusable(label, error))
    return found


def from_files(in_files: Sequence[Path], *, echo_times: Sequence[float]) -> Acquisition:
    """Return the acquisition of images, one per echo time in s, that do not lie in a dataset."""
    if len(echo_times) != len(in_files):
        raise InputError(
            f"{len(echo_times)} echo times beside {len(in_files)} images",
            field="echo_times",
            needed="one per image, in s",
        )
    return files_acquisition("toy", "anat", in_files, ToyProtocol(np.asarray(echo_times)))


def _acquisition(
    group: Sequence[BidsFile], entities: Mapping[str, str], files: ParticipantFiles
) -> Acquisition:
    notes: list[str] = []
    sidecars = [read_sidecar(image, files) for image in group]
    times = [_echo_time(sidecar, notes) for sidecar in sidecars]
    images = tuple(image.path for image in group)
    return Acquisition(
        kind="toy",
        entities=entities,
        datatype="anat",
        images=images,
        sources=(*images, *dict.fromkeys(file for sidecar in sidecars for file in sidecar.files)),
        metadata=common(sidecars),
        protocol=ToyProtocol(np.array(times)),
        notes=tuple(dict.fromkeys(notes)),
    )


def _echo_time(sidecar: Sidecar, notes: list[str]) -> float:
    """Return EchoTime in s."""
    time = number(sidecar, "EchoTime", notes)
    if time is None or not 0 < time < 5:
        raise InputError(
            "is missing" if time is None else f"is {time:g}",
            file=sidecar.where("EchoTime"),
            field="EchoTime",
            needed="the echo time in s, above 0 and below 5",
            fix="add the key" if time is None else "divide milliseconds by 1000",
        )
    return time
