"""Several files that are one diffusion series: shells that were acquired apart and say that they belong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bids_qmri.bids.acquisition import Unusable
from bids_qmri.bids.dwi_series import DwiSeries
from bids_qmri.errors import InputError
from bids_qmri.physics.directions import count_directions
from bids_qmri.physics.shells import cluster_shells
from bids_qmri.units import FloatArray

KEY = "MultipartID"

ALIKE = ("EchoTime", "PhaseEncodingDirection")
"""Keys whose values the parts of one series share."""

FEWEST_DIRECTIONS = 6
"""Directions of a shell that is worth joining to another."""


def join_parts(series: Sequence[DwiSeries]) -> list[tuple[DwiSeries, ...] | Unusable]:
    """Return groups of raw files with the same MultipartID, and why other such groups are not joined.

    Parameters
    ----------
    series
        Of one participant.
    """
    groups: dict[tuple[str, str], list[DwiSeries]] = {}
    for one in series:
        if isinstance(label := one.metadata.get(KEY), str) and label:
            groups.setdefault((label, one.image.entities.get("ses", "")), []).append(one)
    found: list[tuple[DwiSeries, ...] | Unusable] = []
    for (label, _), parts in groups.items():
        if len(parts) < 2:
            continue
        reason = _difference(parts)
        found.append(tuple(parts) if not reason else _not_joined(parts, label, reason))
    return found


def joined_files(series: Sequence[DwiSeries]) -> list[tuple[DwiSeries, ...] | Unusable]:
    """Return groups of preprocessed files on one grid whose shells differ: one scheme, acquired in parts.

    Programs that preprocess each ``acq-`` apart leave them like this. The files themselves stay as they are.
    """
    groups: dict[tuple[tuple[str, str], ...], list[DwiSeries]] = {}
    for one in series:
        key = tuple(sorted(one.image.without("acq", "run", "dir", "desc").items()))
        groups.setdefault(key, []).append(one)
    return [
        tuple(parts)
        for parts in groups.values()
        if len(parts) > 1 and not _difference(parts) and _complementary(parts)
    ]


def _difference(parts: Sequence[DwiSeries]) -> str:
    """Return in what parts differ that would have to be alike, empty if in nothing."""
    first = parts[0]
    for other in parts[1:]:
        if other.header.shape[:3] != first.header.shape[:3] or not np.allclose(
            other.header.affine, first.header.affine, atol=1e-3
        ):
            return f"{other.image.path.name} is not on the grid of {first.image.path.name}"
        for key in ALIKE:
            one, two = first.metadata.get(key), other.metadata.get(key)
            if one is not None and two is not None and one != two:
                return f"{key} is {one} and {two}"
        if (first.bvecs is None) != (other.bvecs is None):
            return "only some have directions (.bvec)"
    return ""


def _not_joined(parts: Sequence[DwiSeries], label: str, reason: str) -> Unusable:
    names = ", ".join(part.image.path.name for part in parts)
    error = InputError(
        f"is {label!r} in {names}, but they are fitted one by one: {reason}",
        file=parts[0].sidecar.where(KEY),
        field=KEY,
        needed=f"parts of one series: one grid, {' and '.join(ALIKE)} alike",
        fix="preprocess them together, or give each its own MultipartID",
    )
    return Unusable(f"{parts[0].image.stem} {KEY}", error, fault=False)


def _complementary(parts: Sequence[DwiSeries]) -> bool:
    """Tell whether every file has one shell of directions beside b = 0, and no two the same."""
    shells = [list(_shells(part)) for part in parts]
    if any(len(own) != 1 for own in shells):
        return False
    values = np.sort([own[0] for own in shells])
    return bool(np.all(np.diff(values) > 0.1 * values[1:]))


def _shells(part: DwiSeries) -> Iterator[float]:
    """Yield the b-values above b = 0, nothing if a shell has too few directions."""
    weighted = part.kept & (part.bvals > part.b0_threshold)
    if part.bvecs is None or not (part.bvals <= part.b0_threshold).any():
        return
    bvals: FloatArray = part.bvals[weighted]
    centres, index = cluster_shells(bvals)
    for shell, centre in enumerate(centres):
        if count_directions(part.bvecs[weighted][index == shell]) < FEWEST_DIRECTIONS:
            return
        yield float(centre)
