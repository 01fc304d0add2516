"""Preprocessed series of named datasets, and the raw ones that they stand for.

Registered or denoised images carry the entities of their raw ones and a `desc-`; their sidecars often hold
little, so that the rest is taken from the raw ones. Called by readers of series that are not diffusion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bids_qmri.bids.acquisition import Acquisition, Unusable
from bids_qmri.bids.layout import BidsFile, ParticipantFiles, group_by, matches
from bids_qmri.bids.sidecar import Sidecar, read_sidecar
from bids_qmri.errors import InputError, caution
from bids_qmri.physics.protocol import Protocol

PREFERRED = "preproc"

NOT_OF_THE_SCAN = ("desc", "space", "res", "part")
"""Entities that processing adds, or that only say that an image holds magnitudes."""

OF_A_MAP = {"model", "param"}
"""Entities of what models give."""


@dataclass(frozen=True, eq=False)
class Preprocessed:
    """One set of images that processing made.

    Parameters
    ----------
    dataset
        Name of the dataset.
    files
        What it holds of the participant.
    images
        The set, all of one `desc-`.
    others
        Labels of `desc-` that were not chosen.
    """

    dataset: str
    files: ParticipantFiles
    images: tuple[BidsFile, ...]
    others: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Say which it is: ``reg, desc-preproc``."""
        desc = self.images[0].entities.get("desc")
        return self.dataset + (f", desc-{desc}" if desc else "")


def preprocessed(
    suffixes: Iterable[str],
    derivatives: Mapping[str, ParticipantFiles],
    raw: Sequence[BidsFile],
    filters: Mapping[str, Any],
    *varying: str,
    magnitudes: bool = True,
) -> list[Preprocessed]:
    """Find sets of preprocessed images; of several `desc-`, preproc, else none is taken.

    Parameters
    ----------
    suffixes
        Of the images.
    derivatives
        Named datasets.
    raw
        Raw images that passed the filters; what was made from one of them passes too, for merged images lack
        entities.
    filters
        Of entities.
    varying
        Entities that differ within a set.
    magnitudes
        Whether images of other parts do not belong to it.
    """
    wanted = tuple(suffixes)
    found: list[Preprocessed] = []
    for name, files in derivatives.items():
        if name == "masks":
            continue
        sets: dict[tuple[tuple[str, str], ...], dict[str, list[BidsFile]]] = {}
        images = files.images(wanted) if magnitudes else files.all_parts(wanted)
        for image in images:
            # A map of a model is no image of a scan, whatever its suffix.
            if not OF_A_MAP.isdisjoint(image.entities):
                continue
            if not matches(image, filters) and not any(made_from(image, one) for one in raw):
                continue
            key = tuple(sorted(image.without("desc", "part", *varying).items()))
            sets.setdefault(key, {}).setdefault(image.entities.get("desc", ""), []).append(image)
        for by_desc in sets.values():
            chosen = PREFERRED if PREFERRED in by_desc else next(iter(by_desc))
            others = tuple(desc for desc in by_desc if desc != chosen)
            unclear = others if chosen != PREFERRED else ()
            found.append(Preprocessed(name, files, tuple(by_desc[chosen]), unclear))
    return found


def made_from(image: BidsFile, raw: BidsFile, *varying: str) -> bool:
    """Whether a raw image may have gone into a preprocessed one: merged runs are no longer named in it."""
    own = image.without(*NOT_OF_THE_SCAN, *varying)
    return own.items() <= raw.entities.items() and own.get("ses") == raw.entities.get("ses")


def sidecar_of(
    image: BidsFile, files: ParticipantFiles, raw: Sequence[BidsFile], of: ParticipantFiles
) -> Sidecar:
    """Return the metadata of a preprocessed image; what it lacks comes from the one raw image behind it."""
    own = read_sidecar(image, files)

    def part(one: BidsFile) -> str:
        return one.entities.get("part", "mag")

    behind = [one for one in raw if made_from(image, one)]
    if len(behind) > 1:
        behind = [one for one in behind if (one.suffix, part(one)) == (image.suffix, part(image))]
    if len(behind) != 1:
        return own
    other = read_sidecar(behind[0], of)
    return replace(
        own,
        values={**other.values, **own.values},
        origin={**other.origin, **own.origin},
        files=tuple(dict.fromkeys((*own.files, *other.files))),
    )


Read = Callable[[BidsFile], Sidecar]
"""Returns the metadata of an image."""

Make = Callable[[Sequence[BidsFile], Read, Sequence[BidsFile], Sequence[str]], Acquisition | Unusable]
"""Makes an acquisition of images; takes how sidecars are read, the raw images behind them, and notes."""


@dataclass(frozen=True, eq=False)
class Kind:
    """What a kind of series is, for those that look for preprocessed images of it.

    Parameters
    ----------
    suffixes
        Of its images.
    varying
        Entities that differ within a series.
    key
        Sidecar key that its protocol varies.
    told
        Returns what was measured by a protocol, in words: ``{"3 degrees", "20 degrees"}``.
    magnitudes
        Whether images of other parts do not belong to it.
    """

    suffixes: tuple[str, ...]
    varying: tuple[str, ...]
    key: str
    told: Callable[[Any], set[str]]
    magnitudes: bool = True


def told_by(*keys: str) -> Callable[[Any], set[str]]:
    """Return what says in words what a protocol measured, by keys of its sidecar fields with lists."""

    def told(protocol: Protocol) -> set[str]:
        fields = protocol.sidecar_fields()
        # Lists of what BIDS knows one value for stand under a plural of ours; what is not known is not there.
        listed = {key: fields.get(key, fields.get(f"{key}s")) for key in keys}
        known = {key: values for key, values in listed.items() if values is not None}
        rows = zip(*known.values(), strict=True)
        return {", ".join(f"{key} {value}" for key, value in zip(known, row, strict=True)) for row in rows}

    return told


def read_or_preprocessed(
    kind: Kind,
    groups: Sequence[Sequence[BidsFile]],
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    filters: Mapping[str, Any],
    make: Make,
) -> list[Acquisition | Unusable]:
    """Return the series of a participant; preprocessed images replace the raw ones that they were made from.

    Parameters
    ----------
    kind
        Of the series.
    groups
        Raw images, one group per series.
    files, derivatives
        The raw dataset, and named ones.
    filters
        Of entities.
    make
        Reads one series.
    """
    found: dict[int, Acquisition | Unusable] = {}
    for index, group in enumerate(groups):
        found[index] = make(group, lambda image: read_sidecar(image, files), group, ())
    images = [image for group in groups for image in group]
    made: list[Acquisition | Unusable] = []
    for one in preprocessed(
        kind.suffixes, derivatives, images, filters, *kind.varying, magnitudes=kind.magnitudes
    ):
        behind = {i: g for i, g in enumerate(groups) if made_from(one.images[0], g[0], *kind.varying)}
        raw = [image for group in behind.values() for image in group]
        instead, notes = _instead(kind, one, [found[i] for i in behind if i in found], raw, files, make)
        if instead is not None:
            made.append(instead)
            found = {i: kept for i, kept in found.items() if i not in behind}
        else:
            found |= {i: _with_notes(found[i], notes) for i in behind if i in found}
    left = [*made, *found.values()]
    return [*left, *_without_magnitudes(kind, images, files, filters)] if kind.magnitudes else left


def _without_magnitudes(
    kind: Kind, known: Sequence[BidsFile], files: ParticipantFiles, filters: Mapping[str, Any]
) -> Iterator[Unusable]:
    """Yield series of which there are phases, real or imaginary parts alone."""
    every = [image for image in files.all_parts(kind.suffixes) if matches(image, filters)]
    for group in group_by(every, *kind.varying):
        if set(known).isdisjoint(group) and not any(image.is_magnitude for image in group):
            names = ", ".join(image.path.name for image in group)
            reason = InputError(
                f"no magnitudes: {names}",
                file=group[0].path,
                field="part",
                needed="magnitude images of the series",
                fix="give them as part-mag, or without part-",
            )
            label = "_".join(f"{k}-{v}" for k, v in group[0].without(*kind.varying).items())
            yield Unusable(f"{label}_{group[0].suffix}", reason, fault=False)


def _instead(
    kind: Kind,
    one: Preprocessed,
    found: Sequence[Acquisition | Unusable],
    raw: Sequence[BidsFile],
    files: ParticipantFiles,
    make: Make,
) -> tuple[Acquisition | Unusable | None, list[str]]:
    """Return what preprocessed images give in place of raw ones, or None and what to say of that."""
    names = ", ".join(image.path.name for image in raw) or "no raw image"
    note = f"preprocessed ({one.words}); used instead of {names}"
    read = partial(sidecar_of, files=one.files, raw=raw, of=files)
    made = make(one.images, read, raw or one.images, [note])
    if not raw:
        return made, []
    name, desc = one.images[0].path, one.images[0].entities.get("desc")
    if one.others:
        seen = f"desc-{', desc-'.join((desc or '', *one.others))}: which is meant?"
        return None, [_not_taken(one, name, "desc", seen, "name one of them desc-preproc, or leave one")]
    if isinstance(made, Unusable):
        error = made.error
        return None, [_not_taken(one, error.file or name, error.field or "dim", error.seen, error.fix)]
    lacking = set().union(*(_told(kind, each) for each in found)) - _told(kind, made)
    if lacking:
        seen = f"no image of {', '.join(sorted(lacking))}"
        return None, [_not_taken(one, name, kind.key, seen, "add the preprocessed images of all of them")]
    return made, []


def _told(kind: Kind, one: Acquisition | Unusable) -> set[str]:
    return set() if isinstance(one, Unusable) or one.protocol is None else kind.told(one.protocol)


def _with_notes(one: Acquisition | Unusable, notes: Sequence[str]) -> Acquisition | Unusable:
    return one if isinstance(one, Unusable) else replace(one, notes=(*one.notes, *notes))


def _not_taken(one: Preprocessed, file: Path | str, field: str, seen: str, fix: str) -> str:
    return caution(
        f"{seen}; raw images are fitted, not those of {one.words}",
        file=Path(file),
        field=field,
        needed="preprocessed images of all that the raw series holds",
        fix=fix,
    )
