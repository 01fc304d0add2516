"""Preprocessed diffusion images: which version is taken, and which raw series went into it.

Programs merge runs and directions, and no longer name them; tables show what went in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from bids_qmri.bids.dwi_series import DwiSeries
from bids_qmri.bids.layout import LONG_NAMES, BidsFile
from bids_qmri.physics.shells import JITTER
from bids_qmri.units import FloatArray

PREPROCESSED = "preproc"

NOT_OF_THE_SCAN = ("desc", "space", "res", "part")
"""Entities that processing adds, or that only say that an image holds magnitudes."""

SAME_B = 0.05

MANY = 8
"""Raw series beyond which no combinations are tried."""

MOST_LOST = 0.2
"""Share of volumes that preprocessing may leave out."""


def best_versions(images: Sequence[BidsFile]) -> list[BidsFile]:
    """Return one image per scan: ``desc-preproc`` where there are several versions, else the only one."""
    groups: dict[tuple[tuple[str, str], ...], list[BidsFile]] = {}
    for image in images:
        groups.setdefault(tuple(sorted(image.without("desc").items())), []).append(image)
    return [image for versions in groups.values() for image in _best(versions)]


def _best(versions: Sequence[BidsFile]) -> list[BidsFile]:
    stems = {image.stem for image in versions}
    if len(stems) > 1:
        versions = [image for image in versions if image.entities.get("desc") == PREPROCESSED]
    # Of an image that is there compressed and uncompressed, the compressed one (`twin_note` says so).
    compressed = [image for image in versions if image.extension == ".nii.gz"]
    return compressed or list(versions)


def twin_note(image: BidsFile) -> str:
    """Return what to say of an image that is there compressed and uncompressed; empty if it is not."""
    other = image.path.with_name(f"{image.stem}.nii")
    if image.extension != ".nii.gz" or not other.exists():
        return ""
    return f"{image.path.name} and {other.name} are both there; {image.path.name} is used; fix: remove one"


def without_raw_filters(filters: Mapping[str, Any], image: BidsFile) -> dict[str, Any]:
    """Return filters without entities that a preprocessed image no longer names, as runs were merged."""
    named = {"suffix", "datatype", "extension", *image.entities}
    return {key: label for key, label in filters.items() if LONG_NAMES.get(key, key) in named}


def went_in(preprocessed: DwiSeries, raw: Sequence[DwiSeries]) -> list[DwiSeries]:
    """Return the raw series that became a preprocessed one, by entities, b-values and numbers of volumes.

    Parameters
    ----------
    preprocessed
        The image.
    raw
        Series of the raw dataset.
    """
    own = preprocessed.image.indexed(*NOT_OF_THE_SCAN)
    candidates = [
        one
        for one in raw
        if own.items() <= one.image.indexed().items()
        and own.get("ses") == one.image.indexed().get("ses")
        and _within(one.bvals, preprocessed.bvals)
    ]
    exact = [one for one in raw if one.image.indexed(*NOT_OF_THE_SCAN) == own]
    if exact and (exact[0] in candidates or _mostly(preprocessed.bvals, exact[0].bvals)):
        others = [one for one in candidates if one is not exact[0]]
        union = _union([exact[0]], others, preprocessed.bvals)
        return union or exact
    return _union([], candidates, preprocessed.bvals)


def _union(needed: Sequence[DwiSeries], others: Sequence[DwiSeries], bvals: FloatArray) -> list[DwiSeries]:
    """Return the series that make up a table together, more of them before fewer.

    Pairs of opposite polarity may be averaged: all series that differ in ``dir-`` alone and each make up the
    table went in. Nothing is returned where it cannot be told which.
    """
    if len(others) > MANY:
        return []
    for count in range(len(others), -1, -1):
        fitting = [
            [*needed, *chosen]
            for chosen in combinations(others, count)
            if (needed or chosen) and _same(np.concatenate([o.bvals for o in (*needed, *chosen)]), bvals)
        ]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            everything = {id(one): one for group in fitting for one in group}
            names = {tuple(one.image.without("dir").items()) for one in everything.values()}
            return list(everything.values()) if len(names) == 1 else []
    return []


def _same(one: FloatArray, other: FloatArray) -> bool:
    """Tell whether two tables hold the same b-values in any order."""
    if one.size != other.size:
        return False
    first, second = np.sort(one), np.sort(other)
    return bool(np.all(np.abs(first - second) <= np.maximum(JITTER, SAME_B * second)))


def _within(part: FloatArray, whole: FloatArray) -> bool:
    """Tell whether all b-values of a table occur in another that is as long or longer."""
    near = np.abs(part[:, None] - whole) <= np.maximum(JITTER, SAME_B * whole)
    return part.size <= whole.size and bool(near.any(axis=1).all())


def _mostly(part: FloatArray, whole: FloatArray) -> bool:
    """Tell whether a table is another one of which a few volumes were left out."""
    return _within(part, whole) and part.size >= (1.0 - MOST_LOST) * whole.size
