"""Series of images that differ in one sidecar key: inversion times, echo times.

One 3-D image for each value, told apart by an entity, or one 4-D image whose sidecar lists the values. The
key decides, never the label of the entity. Called by the readers of such techniques.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.b1 import find_b1
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by, matches
from bids_qmri.bids.measured import Require, measured_images, one_scale
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.preprocessed import Kind, Read, read_or_preprocessed, told_by
from bids_qmri.bids.sequence import NoModelError
from bids_qmri.bids.sidecar import Sidecar, by_volume, common, number
from bids_qmri.errors import InputError
from bids_qmri.files import one_fault
from bids_qmri.physics.protocol import Protocol


@dataclass(frozen=True)
class VariedSeries:
    """What such a series is called, and what varies.

    Parameters
    ----------
    kind, suffix
        Of the acquisition, and of its files.
    entity
        Tells files apart: ``"echo"``.
    key
        Sidecar key that varies, in s.
    what
        In words: ``"echo time"``.
    longest
        s; larger values are milliseconds.
    b1
        Whether a model of it takes a transmit field.
    require
        Refuses images of another sequence; None: none is known to be wrong.
    """

    kind: str
    suffix: str
    entity: str
    key: str
    what: str
    longest: float
    b1: bool = False
    require: Require | None = None


Build = Callable[[Sequence[float], Sequence[Sidecar], list[str]], Protocol]
"""Makes the protocol of values in s, sidecars in the same order, and notes."""


def find_varied(
    series: VariedSeries,
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    build: Build,
) -> list[Acquisition | Unusable]:
    """Find the series of a participant.

    Parameters
    ----------
    series
        Which ones.
    files, derivatives
        The raw dataset, and named ones that may hold transmit fields.
    options
        Filters, unit of transmit fields.
    build
        Makes their protocol.
    """
    filters = options.filters.get(series.kind, {})
    kept = [image for image in files.images({series.suffix}) if matches(image, filters)]
    varying = (series.entity, "part")
    kind = Kind((series.suffix,), varying, series.key, told_by(series.key))

    def make(
        images: Sequence[BidsFile], read: Read, raw: Sequence[BidsFile], notes: Sequence[str]
    ) -> Acquisition | Unusable:
        entities = images[0].without(*varying, "desc")
        try:
            with one_fault(images[0].path):
                own = _acquisition(series, images, entities, read, build, notes)
                return _with_b1(own, raw, files, derivatives, options) if series.b1 else own
        except InputError as error:
            label = "_".join([*(f"{key}-{value}" for key, value in entities.items()), series.suffix])
            fault = not isinstance(error, NoModelError)
            return Unusable(label, error, fault=fault, kind=series.kind)

    return read_or_preprocessed(kind, group_by(kept, *varying), files, derivatives, filters, make)


def _acquisition(
    series: VariedSeries,
    group: Sequence[BidsFile],
    entities: Mapping[str, str],
    read: Read,
    build: Build,
    said: Sequence[str],
) -> Acquisition:
    notes = list(said)
    images, own = measured_images(group, [read(image) for image in group], notes, series.require)
    images, own, values = in_order(series, images, own, notes)
    scale = one_scale(own, notes, (series.key,))
    return Acquisition(
        kind=series.kind,
        entities=dict(entities),
        datatype=group[0].datatype,
        images=tuple(image.path for image in images),
        sources=(
            *(image.path for image in images),
            *dict.fromkeys(file for sidecar in own for file in sidecar.files),
        ),
        metadata={key: value for key, value in common(own).items() if key != series.key},
        protocol=build(values, own, notes),
        notes=tuple(dict.fromkeys(notes)),
        scale=scale,
    )


def require_one_per_image(in_files: Sequence[Path], values: Sequence[float], field: str) -> None:
    """Refuse files outside of datasets that are not one 4-D image, or one for each value.

    Parameters
    ----------
    in_files
        3-D images, or one 4-D image.
    values
        What varies, in s.
    field
        Name of the argument that holds them: ``echo_times``.

    Raises
    ------
    InputError
        With both numbers.
    """
    if len(in_files) not in (1, len(values)):
        raise InputError(
            f"{len(values)} {field.replace('_', ' ')} beside {len(in_files)} images",
            field=field,
            needed="one per image, in s",
        )


def in_order(
    series: VariedSeries, images: Sequence[BidsFile], sidecars: Sequence[Sidecar], notes: list[str]
) -> tuple[list[BidsFile], list[Sidecar], list[float]]:
    """Return images in the order of their values, with the sidecar and the value in s of each.

    One 4-D image stays one, with the sidecars and values of its volumes as they lie in it.

    Raises
    ------
    InputError
        If a value is missing or cannot be meant, or a 4-D image has company.
    """
    whole = [i for i, image in enumerate(images) if read_header(image.path).n_volumes > 1]
    if whole:
        first = whole[0]
        values = _listed(series, images, images[first], sidecars[first])
        return [images[first]], by_volume(sidecars[first], len(values)), values
    found = [_one(series, sidecar, notes) for sidecar in sidecars]
    order = sorted(range(len(found)), key=found.__getitem__)
    return [images[i] for i in order], [sidecars[i] for i in order], [found[i] for i in order]


def _with_b1(
    found: Acquisition,
    group: Sequence[BidsFile],
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
) -> Acquisition:
    """Return an acquisition with its transmit field, if there is one."""
    notes: list[str] = []
    b1 = find_b1(group, files, derivatives, options, notes)
    every = tuple(dict.fromkeys((*found.notes, *notes)))
    if b1 is None:
        return replace(found, notes=every)
    return replace(found, b1=b1, sources=(*found.sources, *b1.files), notes=every)


def _one(series: VariedSeries, sidecar: Sidecar, notes: list[str]) -> float:
    """Return the value of a 3-D image in s."""
    value = number(sidecar, series.key, notes)
    if value is None:
        raise InputError(
            "is missing",
            file=sidecar.where(series.key),
            field=series.key,
            needed=f"the {series.what} in s of every image",
            fix="add the key",
        )
    return _checked(series, sidecar, value)


def _listed(
    series: VariedSeries, group: Sequence[BidsFile], image: BidsFile, sidecar: Sidecar
) -> list[float]:
    """Return the values of the volumes of a 4-D image in s."""
    if len(group) > 1:
        others = ", ".join(other.path.name for other in group if other is not image)
        raise InputError(
            f"has several volumes beside {others}",
            file=image.path,
            field="dim",
            needed=f"one 3-D image for each {series.what}, or one 4-D image alone",
            fix=f"split it into files {series.entity}-1, {series.entity}-2, ...",
        )
    count = read_header(image.path).n_volumes
    listed: Any = sidecar.values.get(series.key)
    if not isinstance(listed, list) or len(listed) != count:
        seen = f"lists {len(listed)} values" if isinstance(listed, list) else f"is {listed!r}"
        raise InputError(
            f"{seen} for {count} volumes",
            file=sidecar.where(series.key),
            field=series.key,
            needed=f"a list with the {series.what} in s of every volume",
            fix=f"add the list, or split the image into files {series.entity}-1, {series.entity}-2, ...",
        )
    try:
        return [_checked(series, sidecar, float(value)) for value in listed]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"is {listed!r}", file=sidecar.where(series.key), field=series.key, needed="numbers in s"
        ) from error


def _checked(series: VariedSeries, sidecar: Sidecar, value: float) -> float:
    if not 0 <= value <= series.longest:
        raise InputError(
            f"is {value:g}",
            file=sidecar.where(series.key),
            field=series.key,
            needed=f"the {series.what} in s, 0 or above and at most {series.longest:g}",
            fix=f"if it is in milliseconds, write {value / 1000:g}" if value > 0 else "correct it",
        )
    return value
