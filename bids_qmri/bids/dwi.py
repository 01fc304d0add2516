"""Diffusion series: one 4-D image with its gradient table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.gradients import read_bvals, read_bvecs
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, matches
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.sidecar import read_sidecar
from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import B0_THRESHOLD, DiffusionProtocol

SUFFIXES = ("dwi",)
PREPROCESSED = "preproc"
NOT_OF_THE_SCAN = ("desc", "space", "res", "part")
"""Entities that processing adds, or that only say that an image holds magnitudes."""


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the diffusion series of a participant; preprocessed images replace their raw ones.

    Scanner maps (ADC, FA, ...), single-band references and phase images are left out.

    Parameters
    ----------
    files
        The raw dataset.
    derivatives
        Named datasets that may hold ``desc-preproc_dwi``.
    options
        b = 0 threshold, filters.
    others
        What was found before; not needed here.
    """
    filters = options.filters.get("dwi", {})
    raw = [image for image in files.images(SUFFIXES, "dwi") if matches(image, filters)]
    found: list[Acquisition | Unusable] = []
    replaced: set[BidsFile] = set()
    for dataset in (dataset for name, dataset in derivatives.items() if name != "masks"):
        for image in dataset.images(SUFFIXES, "dwi"):
            if image.entities.get("desc") != PREPROCESSED or not matches(image, filters):
                continue
            origin = [r for r in raw if _made_from(image, r)]
            replaced.update(origin)
            found.append(_acquisition_or_reason(image, dataset, options, [r.path.name for r in origin]))
    found += [_acquisition_or_reason(image, files, options) for image in raw if image not in replaced]
    return found


def from_files(
    in_files: Sequence[Path],
    *,
    in_bval: Path,
    in_bvec: Path | None = None,
    b0_threshold: float = B0_THRESHOLD,
) -> Acquisition:
    """Return the acquisition of a diffusion series that does not lie in a dataset.

    Parameters
    ----------
    in_files
        The 4-D image, alone.
    in_bval, in_bvec
        Its table of b-values in s/mm^2, and of directions as FSL writes them.
    b0_threshold
        b-values up to this many s/mm^2 count as b = 0.

    Raises
    ------
    InputError
        Naming what does not fit together.
    """
    if len(in_files) != 1:
        raise InputError(f"{len(in_files)} images", field="in_files", needed="one 4-D image")
    bvals = read_bvals(in_bval, read_header(in_files[0]).n_volumes)
    bvecs = None if in_bvec is None else read_bvecs(in_bvec, bvals, b0_threshold)
    protocol = DiffusionProtocol(bvals, bvecs, b0_threshold=b0_threshold)
    return files_acquisition("dwi", "dwi", in_files, protocol)


def _made_from(preprocessed: BidsFile, raw: BidsFile) -> bool:
    """Whether a raw image went in: merged runs or directions are no longer named in the result."""
    own = preprocessed.without(*NOT_OF_THE_SCAN)
    return own.items() <= raw.entities.items() and own.get("ses") == raw.entities.get("ses")


def _acquisition_or_reason(
    image: BidsFile, files: ParticipantFiles, options: ReadOptions, replaces: list[str] | None = None
) -> Acquisition | Unusable:
    try:
        return _acquisition(image, files, options, replaces)
    except InputError as error:
        return Unusable(image.stem, error)


def _acquisition(
    image: BidsFile, files: ParticipantFiles, options: ReadOptions, replaces: list[str] | None
) -> Acquisition:
    notes = (
        [] if replaces is None else [f"preprocessed; used instead of {', '.join(replaces) or 'no raw image'}"]
    )
    header = read_header(image.path)
    if header.n_volumes < 2:
        raise InputError(
            f"is a single volume of {' x '.join(map(str, header.shape[:3]))}",
            file=image.path,
            field="dim",
            needed="a 4-D image, one volume per b-value",
            fix="merge the volumes in the order of the gradient table",
        )
    sidecar = read_sidecar(image, files)
    tables = {extension: files.inherited(image, extension) for extension in (".bval", ".bvec")}
    if not tables[".bval"]:
        raise InputError(
            "has no .bval file, here or in the folders above",
            file=image.path,
            field="bval",
            needed="one b-value in s/mm^2 per volume",
            fix=f"add {image.stem}.bval",
        )
    bvals = read_bvals(tables[".bval"][0].path, header.n_volumes)
    bvecs = None
    if tables[".bvec"]:
        bvecs = read_bvecs(tables[".bvec"][0].path, bvals, options.b0_threshold)
    if bvecs is None:
        notes.append("no gradient directions: models with directions cannot be fitted")
    protocol = DiffusionProtocol(bvals, bvecs, b0_threshold=options.b0_threshold)
    if not np.any(protocol.b0_mask):
        notes.append(f"no b = 0 image: the lowest b-value is {bvals.min():g} s/mm^2 (--b0-threshold)")
    nearest = [tables[extension][0].path for extension in tables if tables[extension]]
    return Acquisition(
        kind="dwi",
        entities=image.without("desc", "part"),
        datatype="dwi",
        images=(image.path,),
        sources=(image.path, *nearest, *sidecar.files),
        metadata=dict(sidecar.values),
        protocol=protocol,
        notes=tuple(notes),
    )
