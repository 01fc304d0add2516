"""The relative transmit field (B1+): which images give it, and its value in every voxel of a series.

Actual divided by nominal flip angle, 1 = nominal. From a map, or from images whose ratios tell it
(`physics.transmit`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.acquisition import B1Source, ReadOptions
from bids_qmri.bids.b1_images import PAIRS, SCALED, field_images
from bids_qmri.bids.image_type import why_not_measured
from bids_qmri.bids.images import Series, open_series, same_grid
from bids_qmri.bids.layout import BidsFile, ParticipantFiles
from bids_qmri.bids.map_units import share_of_nominal, unit_of, unit_words
from bids_qmri.bids.names import ABOUT_MAPS
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.sidecar import Sidecar, read_sidecar
from bids_qmri.errors import InputError, caution
from bids_qmri.units import FloatArray

FACTOR_RANGE = (0.2, 3.0)
PERCENT_RANGE = (20.0, 300.0)
"""Medians of a transmit field inside a mask that can only be a factor, or only percent."""

NOT_QUANTITATIVE = {"TB1SRGE"}
"""Suffixes of images that no formula here makes a field of."""


@dataclass(frozen=True)
class _Candidate:
    method: str
    images: tuple[BidsFile, ...]
    intended_for: tuple[str, ...]
    files: ParticipantFiles
    anatomy: tuple[BidsFile, ...] = ()


def find_b1(
    images: Sequence[BidsFile],
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    notes: list[str],
) -> B1Source | None:
    """Find the transmit field of a VFA series: by IntendedFor, else the only one of its session.

    Datasets that the user named win over the raw one.

    Parameters
    ----------
    images
        The series.
    files
        The raw dataset.
    derivatives
        Named datasets.
    options
        Unit of TB1map images.
    notes
        Decisions are added here.

    Raises
    ------
    InputError
        If several fields could be meant, or the one meant lacks a key.
    """
    others: list[str] = []
    for dataset in [*(v for k, v in derivatives.items() if k != "masks"), files]:
        candidates = list(_candidates(dataset, images[0].entities.get("ses"), options))
        linked = [c for c in candidates if _is_meant(c, images, files)]
        chosen = _only(_without_distorted(linked or [c for c in candidates if not c.intended_for]), images)
        if chosen is None:
            others += [candidate.images[0].path.name for candidate in candidates]
            continue
        if not linked:
            name = chosen.images[0].path.name
            notes.append(f"{name} has no IntendedFor; it is the only transmit field of the session")
        return _source(chosen, options, notes)
    if others:
        notes.append(
            f"{len(others)} transmit field(s) of this session are meant for other images: {', '.join(others)}"
        )
    notes += _not_used(files, images[0].entities.get("ses"))
    return None


def _not_used(files: ParticipantFiles, session: str | None) -> Iterable[str]:
    """Name images of a transmit field that cannot be used as they are."""
    for image in files.images({*SCALED, *NOT_QUANTITATIVE}):
        if image.entities.get("ses") != session or image.entities.get("acq", "").startswith("anat"):
            continue
        fix = (
            "--b1-units VALUE, what the map reads where the angle is nominal (800 for degrees x 10 of a"
            " nominal 80); or write a TB1map with Units percent = map / VALUE x 100"
        )
        yield caution(
            "no stated scale; it is not used",
            file=image.path,
            field="Units",
            needed="a transmit field as a factor or percent of the nominal flip angle",
            fix=fix if image.suffix in SCALED else "make a TB1map of it, with Units percent",
        )


def _without_distorted(candidates: list[_Candidate]) -> list[_Candidate]:
    """Leave out echo-planar images where there is another field: they are distorted."""
    return [candidate for candidate in candidates if candidate.method != "TB1EPI"] or candidates


def _only(candidates: Sequence[_Candidate], images: Sequence[BidsFile]) -> _Candidate | None:
    if len(candidates) > 1:
        raise InputError(
            f"{len(candidates)} transmit fields could be meant: "
            + ", ".join(candidate.images[0].path.name for candidate in candidates),
            file=images[0].path,
            field="IntendedFor",
            needed="one transmit field for these images",
            fix="name the images in IntendedFor of one of them",
        )
    return candidates[0] if candidates else None


def _candidates(files: ParticipantFiles, session: str | None, options: ReadOptions) -> Iterable[_Candidate]:
    """Yield the fields of one session; sidecars of others are not read, for one may be broken."""
    varying: dict[str, tuple[str, tuple[str, ...]]] = {
        "TB1map": ("TB1map", ("part",)),
        **{suffix: (suffix, keys) for suffix, keys in PAIRS.items()},
        **dict.fromkeys(SCALED, ("TB1map", ("acq", "part"))),
    }
    for suffix, (method, keys) in varying.items():
        groups: dict[tuple[tuple[str, str], ...], list[BidsFile]] = {}
        for image in files.images({suffix}):
            if image.entities.get("ses") != session or _is_about_a_fit(image):
                continue
            groups.setdefault(tuple(image.without(*keys).items()), []).append(image)
        for group in groups.values():
            sidecars = [read_sidecar(image, files) for image in group]
            targets = {text for sidecar in sidecars for text in _targets(sidecar)}
            pairs = list(zip(group, sidecars, strict=True))
            shown = [image for image in group if image.entities.get("acq", "").startswith("anat")]
            if suffix in SCALED:
                pairs = [pair for pair in pairs if _told_scale(*pair, options)]
            elif method != "TB1map":
                pairs = [pair for pair in pairs if why_not_measured(pair[1]) is None]
            if pairs and (suffix != "TB1EPI" or all("MixingTime" in own.values for _, own in pairs)):
                images = tuple(image for image, _ in pairs)
                yield _Candidate(method, images, tuple(sorted(targets)), files, tuple(shown[:1]))


def _is_about_a_fit(image: BidsFile) -> bool:
    """Whether it accompanies a map of the field, or is a by-product of a fit of something else."""
    return "model" in image.entities or image.entities.get("desc", "").endswith(ABOUT_MAPS)


def _told_scale(image: BidsFile, sidecar: Sidecar, options: ReadOptions) -> bool:
    """Whether an image is a map of the flip angle with a known scale."""
    is_map = not image.entities.get("acq", "").startswith("anat")
    return is_map and (isinstance(options.b1_units, float) or bool(unit_of(sidecar)[1]))


def _targets(sidecar: Sidecar) -> tuple[str, ...]:
    targets = sidecar.values.get("IntendedFor", ())
    return (targets,) if isinstance(targets, str) else tuple(map(str, targets))


def _is_meant(candidate: _Candidate, images: Sequence[BidsFile], raw: ParticipantFiles) -> bool:
    """Whether IntendedFor (a BIDS URI, or a path from the participant's folder) names one of the images."""
    meant = {PurePosixPath(target.rpartition(":")[2]) for target in candidate.intended_for}
    inside = [image.path for image in images if image.path.is_relative_to(raw.root)]
    paths = [PurePosixPath(path.relative_to(raw.root).as_posix()) for path in inside]
    return any(path in meant or PurePosixPath(*path.parts[1:]) in meant for path in paths)


def _source(candidate: _Candidate, options: ReadOptions, notes: list[str]) -> B1Source:
    paths = tuple(image.path for image in candidate.images)
    sidecars = [read_sidecar(image, candidate.files) for image in candidate.images]
    if candidate.method == "TB1map":
        _require_one_volume(paths)
        stated = share_of_nominal(sidecars[0]) if options.b1_units == "auto" else None
        nominal = sidecars[0].values.get("FlipAngle")
        known = float(nominal) if isinstance(nominal, int | float) else None
        words = unit_words(sidecars[0])
        anatomy = tuple(image.path for image in candidate.anatomy)
        return B1Source("TB1map", paths, None, options.b1_units, stated, words, known, anatomy=anatomy)
    found = field_images(candidate.method, candidate.images, sidecars, notes)
    return B1Source(candidate.method, found.paths, found.protocol, scale=found.scale)


def _require_one_volume(paths: Sequence[Path]) -> None:
    """Refuse a map that holds more than the field: which volume is meant cannot be told."""
    volumes = sum(read_header(path).n_volumes for path in paths)
    if volumes > 1:
        raise InputError(
            f"{', '.join(path.name for path in paths)}: {volumes} volumes",
            file=paths[0],
            field="dim",
            needed="one 3-D image of the relative transmit field",
            fix="keep the volume that holds the field, or remove the other file",
        )


def load_b1(source: B1Source, series: Series, mask: npt.NDArray[np.bool_], notes: list[str]) -> FloatArray:
    """Return actual divided by nominal flip angle in every voxel of a series, shape (V,).

    Parameters
    ----------
    source
        Which images, by which method.
    series
        Gives the grid; a field on another grid is interpolated linearly between voxels that have a value.
    mask
        Voxels of interest, (V,): the unit of a TB1map is decided there.
    notes
        The unit, and how much of the mask has no value, are added here.

    Returns
    -------
    Factors; NaN where the field is unknown (zero, negative, not finite, or outside its image).

    Raises
    ------
    InputError
        If the images do not cover the mask, or the unit of a TB1map cannot be told.
    """
    on_grid = same_grid(read_header(source.files[0]), series)
    with open_series(source.files, series.spool_dir, series if on_grid else None) as image:
        signal = image.read(0, image.n_voxels)
        field = _relative_field(source, signal)
        field = np.where(np.isfinite(field) & (field > 0), field, np.nan)
        if not on_grid:
            field = _resample(field, image, series)
    inside = field[mask]
    known = inside[np.isfinite(inside)]
    if known.size == 0:
        raise InputError(
            "has no value in any voxel of the mask",
            file=source.files[0],
            needed="a transmit field that covers the images",
            fix="check its position, or name another one in IntendedFor",
        )
    if known.size < inside.size:
        missing = 100 * (1 - known.size / inside.size)
        notes.append(f"{source.files[0].name}: no value in {missing:.1f} % of the mask; maps are NaN there")
    if source.protocol is not None:
        return field
    return field * _unit(source, float(np.median(known)), notes)


def load_anatomy(source: B1Source, series: Series) -> FloatArray | None:
    """Return an image that lies where a transmit field does and shows the object, on the grid of a series.

    Shape (V,). None where there is only the field, which is smooth and shows nothing.
    """
    files = source.files if source.protocol is not None else source.anatomy
    if not files:
        return None
    on_grid = same_grid(read_header(files[0]), series)
    with open_series(files, series.spool_dir, series if on_grid else None) as image:
        signal = image.read(0, image.n_voxels, [0])[:, 0]
        return signal if on_grid else _resample(signal, image, series)


def _relative_field(source: B1Source, signal: FloatArray) -> FloatArray:
    """Apply the method's formula to images, (V, N); a TB1map passes through."""
    if source.protocol is None:
        return signal[:, 0]
    return source.protocol.field((signal * (source.scale or 1.0)).T)


def _resample(field: FloatArray, image: Series, series: Series) -> FloatArray:
    """Interpolate linearly onto the grid of a series, using only voxels that have a value."""
    import nibabel as nib
    from nibabel.processing import resample_from_to

    known = np.isfinite(field)

    def onto_grid(values: FloatArray) -> FloatArray:
        volume = nib.Nifti1Image(values.reshape(image.shape, order="F"), image.affine)
        moved = resample_from_to(volume, (series.shape, series.affine), order=1, cval=0.0)
        return np.asarray(moved.dataobj, dtype=np.float64).ravel(order="F")

    weight = onto_grid(known.astype(np.float64))
    # Below half of the weight a voxel lies outside the field: extrapolation, not interpolation.
    enough = weight > 0.5
    value = onto_grid(np.where(known, field, 0.0))
    return np.where(enough, value / np.where(enough, weight, 1.0), np.nan)


UNDERSTOOD = (
    'write Units in its sidecar ("1", "percent", or "degree" or "rad" beside FlipAngle), or pass --b1-units'
)
"""How the unit of a map is told."""

LEAST_FIELD, LARGEST_FIELD = 0.1, 5.0
"""Actual over nominal flip angle that a median inside an object can be."""


def _unit(source: B1Source, median: float, notes: list[str]) -> float:
    """Return what one unit of a TB1map is worth: as asked, as stated, or by the median inside the mask."""
    name = source.files[0].name
    if source.units != "auto":
        worth, words = _asked(source.units)
        notes.append(f"{name}: median {median:.3g} inside the mask, read as {words} (--b1-units)")
        if not LEAST_FIELD <= (field := median * worth) <= LARGEST_FIELD:
            notes.append(f"{name}: {field:.2g} of the nominal flip angle cannot be: check --b1-units")
        return worth
    if source.stated is not None:
        worth, words = source.stated
        if not LEAST_FIELD <= (field := median * worth) <= LARGEST_FIELD:
            raise InputError(
                f"its median inside the mask is {median:g}, that is {field:.2g} of the nominal flip angle as"
                f" {words}",
                file=source.files[0],
                field="Units",
                needed="the unit of the map",
                fix="correct Units (and FlipAngle) in its sidecar, or pass --b1-units",
            )
        notes.append(f"{name}: median {median:.3g} inside the mask, read as {words}")
        return worth
    return _guessed(source, median, notes)


def _asked(units: str | float) -> tuple[float, str]:
    if isinstance(units, int | float):
        return 1.0 / units, f"{units:g} where the flip angle is nominal"
    return (0.01, "percent") if units == "percent" else (1.0, "a factor")


def _guessed(source: B1Source, median: float, notes: list[str]) -> float:
    """Return what one unit is worth by the median alone; refused where it could be another one."""
    nominal = source.nominal
    degrees = nominal is not None and abs(median / nominal - 1) < min(abs(median / 100 - 1), 0.3)
    is_factor = FACTOR_RANGE[0] <= median <= FACTOR_RANGE[1]
    is_percent = PERCENT_RANGE[0] <= median <= PERCENT_RANGE[1]
    key, text = source.words
    unit = f"is {text!r}, which names no scale" if text else "no unit is stated"
    if not (is_factor or is_percent) or (is_percent and degrees):
        also = f", which may be degrees of FlipAngle {nominal:g}" if degrees else ""
        raise InputError(
            f"{unit}; its median inside the mask is {median:g}{also}",
            file=source.files[0],
            field=key or "Units",
            needed="a factor (about 1) or percent (about 100) of the nominal flip angle",
            fix=UNDERSTOOD,
        )
    notes.append(
        caution(
            f"{unit}; median {median:.3g} inside the mask, read as {'a factor' if is_factor else 'percent'}",
            file=source.files[0],
            field=key or "Units",
            needed="the unit of the map",
            fix=UNDERSTOOD,
        )
    )
    return 1.0 if is_factor else 0.01
