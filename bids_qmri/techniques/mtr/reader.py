"""Magnetisation transfer ratio: ``*_mt-on_MTR.nii.gz`` and ``*_mt-off_MTR.nii.gz``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by, matches
from bids_qmri.bids.measured import measured_images, one_scale
from bids_qmri.bids.mt_state import mt_state
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.preprocessed import Kind, Read, read_or_preprocessed, told_by
from bids_qmri.bids.sequence import NoModelError
from bids_qmri.bids.sidecar import common
from bids_qmri.errors import InputError
from bids_qmri.files import one_fault
from bids_qmri.techniques.mtr.protocol import TransferProtocol

SUFFIXES = ("MTR",)
KIND = Kind(SUFFIXES, ("mt", "part"), "MTState", told_by("MTState"))


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the pairs of a participant."""
    filters = options.filters.get("mtr", {})
    images = [f for f in files.images(SUFFIXES) if matches(f, filters)]
    return read_or_preprocessed(KIND, group_by(images, "mt", "part"), files, derivatives, filters, _one)


def _one(
    images: Sequence[BidsFile], read: Read, raw: Sequence[BidsFile], notes: Sequence[str]
) -> Acquisition | Unusable:
    entities = images[0].without("mt", "part", "desc")
    try:
        with one_fault(images[0].path):
            return _acquisition(images, entities, read, list(notes))
    except InputError as error:
        label = "_".join([*(f"{key}-{value}" for key, value in entities.items()), "MTR"])
        return Unusable(label, error, fault=not isinstance(error, NoModelError), kind="mtr")


def from_files(in_files: Sequence[Path], *, mt: Sequence[float]) -> Acquisition:
    """Return the acquisition of images that do not lie in a dataset.

    Parameters
    ----------
    in_files
        3-D magnitude images.
    mt
        1 for each with an MT pulse, 0 without.

    Raises
    ------
    InputError
        If there is not one state per image.
    """
    if len(mt) != len(in_files):
        raise InputError(
            f"{len(mt)} states beside {len(in_files)} images", field="mt", needed="one per image"
        )
    return files_acquisition("mtr", "anat", in_files, TransferProtocol(np.asarray(mt)))


def _acquisition(
    group: Sequence[BidsFile], entities: Mapping[str, str], read: Read, notes: list[str]
) -> Acquisition:
    # Whatever the sequence, a pulse takes its share: both only have to be alike.
    group, sidecars = measured_images(group, [read(image) for image in group], notes)
    for image in group:
        volumes = read_header(image.path).n_volumes
        if volumes > 1:
            raise InputError(
                f"has {volumes} volumes",
                file=image.path,
                field="dim",
                needed="one 3-D image with an MT pulse and one without",
                fix="split it into files mt-on and mt-off",
            )
    states = [float(mt_state(image, sidecar)) for image, sidecar in zip(group, sidecars, strict=True)]
    if len(set(states)) < 2:
        raise InputError(
            f"is {str(bool(states[0])).lower()} for all {len(group)} image(s)",
            file=sidecars[0].where("MTState"),
            field="MTState",
            needed="images with an MT pulse and without",
            fix="add the missing image, or correct MTState",
        )
    images = tuple(image.path for image in group)
    return Acquisition(
        kind="mtr",
        entities=dict(entities),
        datatype="anat",
        images=images,
        sources=(*images, *dict.fromkeys(file for sidecar in sidecars for file in sidecar.files)),
        metadata=common(sidecars),
        protocol=TransferProtocol(np.array(states)),
        scale=one_scale(sidecars, notes),
        notes=tuple(dict.fromkeys(notes)),
    )
