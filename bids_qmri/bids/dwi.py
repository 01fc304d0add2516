"""Diffusion series of a participant: raw or preprocessed, single files or parts of one series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.dwi_series import DwiSeries, NoSeriesError, read_series
from bids_qmri.bids.dwi_versions import PREPROCESSED, best_versions, twin_note, went_in, without_raw_filters
from bids_qmri.bids.gradients import read_bvals, read_directions
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, matches
from bids_qmri.bids.multipart import join_parts, joined_files
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.undirected import resolve_undirected
from bids_qmri.errors import InputError
from bids_qmri.files import one_fault
from bids_qmri.physics.diffusion import B0_THRESHOLD, DiffusionProtocol

SUFFIXES = ("dwi",)

Read = DwiSeries | Unusable


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the diffusion series of a participant; preprocessed images replace the raw ones that went in.

    Scanner maps (ADC, FA, ...), single-band references and phase images are left out.

    Parameters
    ----------
    files
        The raw dataset.
    derivatives
        Named datasets that may hold preprocessed series.
    options
        b = 0 threshold, filters.
    others
        What was found before; not needed here.
    """
    filters = options.filters.get("dwi", {})
    raw: dict[BidsFile, Read] = {
        image: _read(image, files, options)
        for image in best_versions([i for i in files.images(SUFFIXES, "dwi") if matches(i, filters)])
    }
    known = [series for series in raw.values() if isinstance(series, DwiSeries)]
    found: list[Acquisition | Unusable] = []
    replaced: set[Path] = set()
    owners: dict[tuple[tuple[str, str], ...], str] = {}
    for name, dataset in derivatives.items():
        if name == "masks":
            continue
        images = [i for i in dataset.images(SUFFIXES, "dwi") if matches(i, without_raw_filters(filters, i))]
        first, others = _first_owner(best_versions(images), owners, name)
        found += others
        series = [_read(image, dataset, options) for image in first]
        for one in series:
            if isinstance(one, Unusable):
                found.append(one)
                continue
            origin = went_in(one, known)
            replaced.update(raw_one.image.path for raw_one in origin)
            names = ", ".join(raw_one.image.path.name for raw_one in origin) or (
                "no raw image: numbers of volumes and b-values are those of none, or do not tell of which"
            )
            found.append(_acquisition([one], one.image, (f"{_version(one)}; used instead of {names}",)))
        found += _joined([one for one in series if isinstance(one, DwiSeries)], of_scanner=False)
    left = [one for image, one in raw.items() if image.path not in replaced]
    return found + _of_scanner(left) + [_undirected(one) for one in left if _lost_directions(one)]


def _lost_directions(one: Read) -> bool:
    return isinstance(one, DwiSeries) and one.without_directions is not None


def _undirected(one: Read) -> Unusable:
    """Say that the table of directions of a series is damaged, which costs models that need it."""
    assert isinstance(one, DwiSeries)
    assert one.without_directions is not None
    return Unusable(f"{one.image.stem} with directions", one.without_directions)


def _first_owner(
    images: Sequence[BidsFile], owners: dict[tuple[tuple[str, str], ...], str], name: str
) -> tuple[list[BidsFile], list[Unusable]]:
    """Return the images of a dataset that no dataset named before it has, and a word about the others."""
    first: list[BidsFile] = []
    others: list[Unusable] = []
    for image in images:
        owner = owners.setdefault(tuple(sorted(image.indexed("desc", "part").items())), name)
        if owner == name:
            first.append(image)
            continue
        error = InputError(
            f"is not used: -d {owner} has an image of the same scan, and was named first",
            file=image.path,
            needed="one processed image per scan",
            fix="leave one of the datasets out, or name it first",
        )
        others.append(Unusable(f"{image.stem} of -d {name}", error, fault=False))
    return first, others


def _of_scanner(left: Sequence[Read]) -> list[Acquisition | Unusable]:
    """Return the acquisitions of series as the scanner made them, parts of one series joined."""
    series = [one for one in left if isinstance(one, DwiSeries)]
    joined = _joined(series, of_scanner=True)
    gone = {path for one in joined if isinstance(one, Acquisition) for path in one.images}
    single: list[Acquisition | Unusable] = []
    for one in left:
        if isinstance(one, Unusable):
            single.append(one)
        elif one.image.path not in gone:
            single.append(_acquisition([one], one.image))
    return joined + single


def _joined(series: Sequence[DwiSeries], *, of_scanner: bool) -> list[Acquisition | Unusable]:
    """Return the acquisitions that several files are together."""
    groups = join_parts(series) if of_scanner else joined_files(series)
    found: list[Acquisition | Unusable] = []
    for group in groups:
        if isinstance(group, Unusable):
            found.append(group)
        else:
            names = ", ".join(part.image.path.name for part in group)
            how = "of one MultipartID" if of_scanner else "on one grid"
            found.append(_acquisition(group, None, (f"{len(group)} files {how} joined: {names}",)))
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
    notes: list[str] = []
    bvals = read_bvals(in_bval, read_header(in_files[0]).n_volumes)
    bvecs = None if in_bvec is None else read_directions(in_bvec, bvals, b0_threshold, notes)
    kept = np.ones(bvals.size, dtype=bool)
    if bvecs is not None and in_bvec is not None:
        bvals, kept = resolve_undirected(in_files[0], (in_bval, in_bvec), bvals, bvecs, b0_threshold, notes)
        bvecs = bvecs[kept]
    volumes = None if kept.all() else tuple(np.flatnonzero(kept).tolist())
    protocol = DiffusionProtocol(bvals[kept], bvecs, b0_threshold=b0_threshold)
    return files_acquisition("dwi", "dwi", in_files, protocol, notes=tuple(notes), volumes=volumes)


def _read(image: BidsFile, files: ParticipantFiles, options: ReadOptions) -> Read:
    try:
        with one_fault(image.path):
            return read_series(image, files, options)
    except NoSeriesError as error:
        return Unusable(image.stem, error, fault=False)
    except InputError as error:
        return Unusable(image.stem, error)


def _version(series: DwiSeries) -> str:
    """Say what kind of processed image is taken."""
    version = series.image.entities.get("desc")
    if version == PREPROCESSED:
        return "preprocessed"
    what = "no desc-" if version is None else f"desc-{version}"
    return f"{series.image.path.name} ({what}, not desc-{PREPROCESSED}) is taken as preprocessed"


def _acquisition(
    parts: Sequence[DwiSeries], image: BidsFile | None, notes: tuple[str, ...] = ()
) -> Acquisition:
    """Return the acquisition of one image, or of the parts of a series under the entities they share."""
    bvals = np.concatenate([part.bvals[part.kept] for part in parts])
    known = [part.bvecs[part.kept] for part in parts if part.bvecs is not None]
    bvecs = np.concatenate(known) if len(known) == len(parts) else None
    threshold = parts[0].b0_threshold
    protocol = DiffusionProtocol(bvals, bvecs, b0_threshold=threshold)
    twins = filter(None, (twin_note(part.image) for part in parts))
    said = [*notes, *twins, *(note for part in parts for note in part.notes)]
    if bvecs is None:
        said.append("no gradient directions: models with directions cannot be fitted")
    if not np.any(protocol.b0_mask):
        said.append(f"no b = 0 image: the lowest b-value is {bvals.min():g} s/mm^2 (--b0-threshold)")
    images = tuple(part.image.path for part in parts)
    tables = (path for part in parts for path in (*part.tables, *part.sidecar.files))
    return Acquisition(
        kind="dwi",
        entities=_entities(parts) if image is None else image.without("desc", "part"),
        datatype="dwi",
        images=images,
        sources=tuple(dict.fromkeys((*images, *tables))),
        metadata=_shared(parts),
        protocol=protocol,
        notes=tuple(dict.fromkeys(said)),
        volumes=_volumes(parts),
    )


def _volumes(parts: Sequence[DwiSeries]) -> tuple[int, ...] | None:
    if len(parts) == 1:
        return parts[0].volumes
    return tuple(np.flatnonzero(np.concatenate([part.kept for part in parts])).tolist())


def _entities(parts: Sequence[DwiSeries]) -> dict[str, str]:
    """Return the entities that parts share."""
    first, *others = (part.image.without("desc", "part") for part in parts)
    return {key: label for key, label in first.items() if all(other.get(key) == label for other in others)}


def _shared(parts: Sequence[DwiSeries]) -> dict[str, object]:
    first, *others = (part.metadata for part in parts)
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
