"""What a reader should know before trusting maps: notes of fits, failures, what the data hardly determine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_qmri import catalogue
from bids_qmri.reports.page import number, unit_label
from bids_qmri.reports.records import Record

HALF = 0.5
"""A fit is warned about if fewer voxels were estimated, or more have a parameter at a bound."""
MANY_OUTSIDE = 0.05
"""Share of voxels outside of what a network was trained for from which a fit is warned about."""
HARDLY_IDENTIFIED = 0.5
"""Standard deviation over that of a uniform distribution between the limits from which data says little."""


@dataclass(frozen=True)
class Caution:
    """One warning: where it belongs, and what it says."""

    where: str
    text: str


def find_cautions(records: Sequence[Record]) -> list[Caution]:
    """Return all warnings about the fits of a participant.

    Parameters
    ----------
    records
        The fits.
    """
    notes = {Caution(record.acquisition, note) for record in records for note in record.notes}
    found = sorted(notes, key=lambda caution: (caution.where, caution.text))
    for record in records:
        where = f"{record.acquisition} {record.table.model} {record.estimator}"
        found += [Caution(where, text) for text in (*_coverage(record), *_identifiability(record))]
    return found


def _coverage(record: Record) -> Iterator[str]:
    words = ("ok", "at_bound", "out_of_range")
    ok, at_bound, outside = (record.metrics.get(f"fraction_{word}") for word in words)
    if ok is not None and at_bound is not None and ok + at_bound < HALF:
        yield f"only {ok + at_bound:.0%} of the voxels were estimated"
    if at_bound is not None and at_bound > HALF:
        yield f"in {at_bound:.0%} of the voxels a parameter lies at its bound"
    if outside is not None and outside > MANY_OUTSIDE:
        yield f"{outside:.0%} of the voxels lie outside of what the network was trained for"


def _identifiability(record: Record) -> Iterator[str]:
    """Compare the typical standard deviation with that of a guess between the limits."""
    limits = _limits(record)
    for row in record.table.maps:
        sd = record.metrics.get(f"{row.name}_sd_median")
        low, high = limits.get(row.name, (0.0, 0.0))
        if sd is None or not 0.0 < high - low < np.inf:
            continue
        guess = (high - low) / np.sqrt(12.0)
        if sd > HARDLY_IDENTIFIED * guess:
            own, guessed = (
                f"{number(float(f'{one:.3g}'))} {unit_label(row.unit)}".strip() for one in (sd, guess)
            )
            yield (
                f"{row.symbol} is hardly determined by these data: its standard deviation is {own} in the "
                f"median voxel, that of a guess between its limits {guessed}"
            )


def _limits(record: Record) -> dict[str, tuple[float, float]]:
    """Return the limits of the fit: the model's, and over them those that the record names."""
    found = {p.name: p.bounds for p in catalogue.get_model(record.table.model).parameters}
    named: Any = record.fields.get("Bounds")
    for name, pair in named.items() if isinstance(named, Mapping) else ():
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(end, int | float) for end in pair):
            found[name] = (float(pair[0]), float(pair[1]))
    return found
