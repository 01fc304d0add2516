"""What a reader should know before trusting maps: notes of fits, failures, what the data hardly determine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bids_qmri.estimators.determined import NARROW
from bids_qmri.reports.records import Record

HALF = 0.5
"""A fit is warned about if fewer voxels were estimated, or more have a parameter at a bound."""
MANY_OUTSIDE = 0.05
"""Share of voxels outside of what a network was trained for from which a fit is warned about."""
HARDLY_DETERMINED = 0.5
"""Share of voxels in which the data determine a parameter below which a fit is warned about."""


@dataclass(frozen=True)
class Caution:
    """What a reader should know: where it belongs, what it says, and whether maps may be wrong by it."""

    where: str
    text: str
    grave: bool = True


_GRAVE = (
    "fix:",
    "needed:",
    "wrong",
    "too ",
    "unlike",
    "doubt",
    "hardly",
    "cannot",
    "state it",
    "no standard deviations",
    "no B1+ map",
)
"""Words of notes that ask for something or doubt the maps; others say what was done."""

WARNINGS = "Warnings"
"""Key of a quality file with those of its notes that the log warned of."""


def find_cautions(records: Sequence[Record]) -> list[Caution]:
    """Return all warnings and notes about the fits of a participant.

    Parameters
    ----------
    records
        The fits.
    """
    notes: dict[tuple[str, str], bool] = {}
    for record in records:
        for note in record.notes:
            said = record.acquisition, note
            notes[said] = notes.get(said, False) or _is_grave(record, note)
    found = [Caution(*said, grave) for said, grave in sorted(notes.items())]
    for record in records:
        where = f"{record.acquisition} {record.table.model} {record.estimator}"
        found += [Caution(where, text) for text in (*_coverage(record), *_undetermined(record))]
    return found


def warnings_of(records: Sequence[Record]) -> list[Caution]:
    """Return what a reader should know before trusting the maps of a participant: the warnings alone.

    Parameters
    ----------
    records
        The fits.
    """
    return [caution for caution in find_cautions(records) if caution.grave]


def doubts(note: str) -> bool:
    """Tell whether a note asks for something or doubts the maps; the log warns of it, and pages do."""
    return any(word in note for word in _GRAVE)


def _is_grave(record: Record, note: str) -> bool:
    warned = record.fields.get(WARNINGS)
    return doubts(note) or (isinstance(warned, list) and note in warned)


def _coverage(record: Record) -> Iterator[str]:
    words = ("ok", "at_bound", "out_of_range", "undetermined")
    ok, at_bound, outside, nothing = (record.metrics.get(f"fraction_{word}") for word in words)
    estimated = None if ok is None or at_bound is None else ok + at_bound + (nothing or 0.0)
    if estimated is not None and estimated < HALF:
        yield f"only {estimated:.0%} of the voxels were estimated"
    if at_bound is not None and at_bound > HALF:
        yield f"in {at_bound:.0%} of the voxels a parameter lies at its bound"
    if outside is not None and outside > MANY_OUTSIDE:
        yield (
            f"{outside:.0%} of the voxels lie outside of what the network was trained for (protocol, limits "
            "or noise), or of the estimator's limits"
        )


def _undetermined(record: Record) -> Iterator[str]:
    """Name the parameters that the data determine in few voxels."""
    for row in record.table.maps:
        share = record.metrics.get(f"{row.name}_determined")
        if share is not None and share < HARDLY_DETERMINED:
            yield (
                f"{row.symbol} is hardly determined by these data: in {1 - share:.0%} of the voxels its "
                f"standard deviation is more than {NARROW:g} of that of a guess within the default limits, "
                "or it lies at a limit"
            )
