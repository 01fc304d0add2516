"""Preprocessed series of named datasets, and the raw ones that they stand for.

Registered or denoised images carry the entities of their raw ones and a `desc-`; their sidecars often hold
little, so that the rest is taken from the raw ones. Called by readers of series that are not diffusion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bids_qmri.bids.layout import BidsFile, ParticipantFiles, matches
from bids_qmri.bids.sidecar import Sidecar, read_sidecar

PREFERRED = "preproc"

NOT_OF_THE_SCAN = ("desc", "space", "res", "part")
"""Entities that processing adds, or that only say that an image holds magnitudes."""


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
    """
    found: list[Preprocessed] = []
    for name, files in derivatives.items():
        if name == "masks":
            continue
        sets: dict[tuple[tuple[str, str], ...], dict[str, list[BidsFile]]] = {}
        for image in files.images(tuple(suffixes)):
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
    behind = [one for one in raw if made_from(image, one)]
    if len(behind) != 1:
        return own
    other = read_sidecar(behind[0], of)
    return replace(
        own,
        values={**other.values, **own.values},
        origin={**other.origin, **own.origin},
        files=tuple(dict.fromkeys((*own.files, *other.files))),
    )
