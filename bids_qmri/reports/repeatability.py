"""The repeatability of maps over all participants, wherever sessions or runs of an acquisition repeat.

What repeats is the median of a map in a region, over the voxels that the data determine. Sessions are
compared by the mean of their runs, runs within their session.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_qmri.qc.definitions import REGION
from bids_qmri.qc.repeatability import FEWEST, Repeatability, repeatability
from bids_qmri.reports.group_table import MISSING, GroupTable
from bids_qmri.reports.page import count, number, percent, short_exponent, shown_exponent, unit_label

KINDS = {"ses": "sessions", "run": "runs of a session", "person": "participants that are one person"}
"""What repeats, by its entity."""

DEFINITIONS = {
    "repeats": "What repeats: ses, sessions of a participant; run, runs of one session; person, participants "
    "that a column of participants.tsv says are one person.",
    "acquisition": "Entities that repeats share, n/a if none.",
    "estimator": "Label of the estimator, as in desc-.",
    "region": REGION,
    "map": "Name of the map, of whose median over determined voxels the row is.",
    "unit": "Unit of the map, and of all columns that are no ratio.",
    "subjects": "Participants with repeats; for runs, sessions of participants.",
    "measurements": "Values that they have together.",
    "determined": "Median over measurements of the fraction of voxels in which the data determine the map.",
    "mean": "Mean of the means of subjects.",
    "wsd": "Within-subject standard deviation.",
    "rc": "Repeatability coefficient, 2.77 times wsd: 95 % of differences between repeats are smaller.",
    "wcv": "Within-subject coefficient of variation.",
    "icc": "Intraclass correlation of single measurements, one-way random model.",
    "difference": "Mean of second minus first measurement.",
    "loa": "Limits of agreement, between which 95 % of differences of second minus first lie.",
}
"""Of columns; those of intervals end in _low and _high and are of 95 %."""


@dataclass(frozen=True)
class Line:
    """The repeatability of one map.

    Parameters
    ----------
    labels
        Text by column: `repeats`, `acquisition`, `estimator`, `region`, `map`, `unit`.
    title
        Symbol of the map, for people.
    found
        Numbers.
    determined
        Share of the voxels that the values are over, NaN where nobody can tell.
    """

    labels: Mapping[str, str]
    title: str
    found: Repeatability
    determined: float

    def numbers(self) -> dict[str, float]:
        """Return the numbers by column."""
        one = self.found
        return {
            "subjects": one.subjects,
            "measurements": one.measurements,
            "determined": self.determined,
            "mean": one.mean,
            **_with_interval("wsd", one.wsd, one.wsd_interval),
            **_with_interval("rc", one.rc, one.rc_interval),
            **_with_interval("wcv", one.wcv, one.wcv_interval),
            **_with_interval("icc", one.icc, one.icc_interval),
            "difference": one.difference,
            "loa_low": one.limits[0],
            "loa_high": one.limits[1],
        }


def _with_interval(name: str, value: float, interval: tuple[float, float]) -> dict[str, float]:
    return {name: value, f"{name}_low": interval[0], f"{name}_high": interval[1]}


def repeatability_of(
    group: GroupTable, persons: Mapping[str, str] | None = None
) -> tuple[list[Line], list[str]]:
    """Return the repeatability of all maps of a model, and what cannot be told.

    Parameters
    ----------
    group
        All fits of the model.
    persons
        Who participants are, by label with ``sub-``; None: nobody says.

    Returns
    -------
    lines
        In the order of repeats, acquisitions, estimators, regions and maps.
    notes
        Repeats of too few participants, one line for each kind.
    """
    lines: list[Line] = []
    fewest: dict[str, int] = {}
    for kind in KINDS:
        for key, subjects in sorted(_repeats(group, kind, persons or {}).items()):
            found = list(_lines(group, kind, key, subjects))
            lines += found
            if not found:
                fewest[kind] = max(fewest.get(kind, 0), len(subjects))
    told = {line.labels["repeats"] for line in lines}
    few = {kind: many for kind, many in fewest.items() if kind not in told}
    notes = [
        f"{KINDS[kind]} repeat for {count(many, 'participant')}: repeatability needs {FEWEST}"
        for kind, many in few.items()
    ]
    return lines, notes


def _repeats(
    group: GroupTable, kind: str, persons: Mapping[str, str]
) -> dict[tuple[str, ...], dict[str, dict[str, list[int]]]]:
    """Return rows by what repeats share, then by subject, then by repeat; who has no repeats is left out."""
    shared = [name for name in group.labels if name not in ("participant_id", "ses", "run")]
    found: dict[tuple[str, ...], dict[str, dict[str, list[int]]]] = {}
    for row in range(len(group.pages)):
        texts = {name: column[row] for name, column in group.labels.items()}
        subject, repeat = _who(texts, kind, persons)
        if MISSING in (subject, repeat):
            continue
        key = tuple(texts[name] for name in shared)
        found.setdefault(key, {}).setdefault(subject, {}).setdefault(repeat, []).append(row)
    kept = {
        key: {subject: rows for subject, rows in subjects.items() if len(rows) > 1}
        for key, subjects in found.items()
    }
    return {key: subjects for key, subjects in kept.items() if subjects}


def _who(texts: Mapping[str, str], kind: str, persons: Mapping[str, str]) -> tuple[str, str]:
    """Return who was measured, and which of the repeats a row is."""
    label = texts["participant_id"]
    if kind == "person":
        return persons.get(label, MISSING), label
    return label if kind == "ses" else f"{label} {texts['ses']}", texts[kind]


def _lines(
    group: GroupTable, kind: str, key: tuple[str, ...], subjects: Mapping[str, Mapping[str, list[int]]]
) -> Iterator[Line]:
    """Yield the repeatability of every map of which enough subjects have repeats."""
    shared = [name for name in group.labels if name not in ("participant_id", "ses", "run")]
    texts = dict(zip(shared, key, strict=True))
    entities = [f"{name}-{text}" for name, text in texts.items() if name not in ("estimator", "region")]
    acquisition = "_".join(text for text in entities if not text.endswith(f"-{MISSING}")) or MISSING
    for row in group.table.maps:
        values = group.metrics.get(f"{row.name}_median")
        if values is None:
            continue
        repeats = [
            np.array([_mean(values[places]) for _, places in sorted(of_one.items())])
            for of_one in subjects.values()
        ]
        if found := repeatability(repeats):
            labels = {"repeats": kind, "acquisition": acquisition, "estimator": texts["estimator"]}
            labels |= {"region": texts["region"], "map": row.name, "unit": row.unit}
            rows = [place for of_one in subjects.values() for places in of_one.values() for place in places]
            yield Line(labels, row.symbol, found, _determined(group, row.name, rows))


def _determined(group: GroupTable, name: str, rows: Sequence[int]) -> float:
    """Return the median share of the voxels in which the data determine a map, NaN where nobody can tell."""
    shares = group.metrics.get(f"{name}_determined", np.full(len(group.pages), np.nan))[rows]
    known = shares[np.isfinite(shares)]
    return float(np.median(known)) if known.size else math.nan


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


@dataclass(frozen=True)
class Row:
    """How repeats of one map agree, as the page says it."""

    repeats: str
    fit: str
    region: str
    title: str
    subjects: str
    determined: str
    cells: tuple[str, ...]


def row_of(line: Line) -> Row:
    """Return what the page says of a map; numbers in its unit share a power of ten."""
    one, labels = line.found, line.labels
    exponent = shown_exponent(labels["unit"]) or short_exponent(abs(one.mean))
    scale = 10.0**-exponent
    unit = unit_label(labels["unit"], exponent)
    cells = (
        number(one.mean * scale),
        _cell(one.wsd, one.wsd_interval, scale),
        _cell(one.rc, one.rc_interval, scale),
        _cell(one.wcv, one.wcv_interval, 100.0),
        _cell(one.icc, one.icc_interval, 1.0),
        _cell(one.difference, one.limits, scale),
    )
    own = "" if labels["acquisition"] == MISSING else f"{labels['acquisition']} "
    return Row(
        KINDS[labels["repeats"]],
        own + labels["estimator"],
        labels["region"],
        f"{line.title} ({unit})" if unit else line.title,
        f"{one.subjects} ({one.measurements})",
        MISSING if math.isnan(line.determined) else percent(line.determined),
        cells,
    )


def _cell(value: float, interval: tuple[float, float], factor: float) -> str:
    if not math.isfinite(value):
        return MISSING
    low, high = interval
    return f"{value * factor:.3g} ({low * factor:.3g} to {high * factor:.3g})"


def as_text(lines: list[Line]) -> str:
    """Return the table as tab-separated values with full precision; what cannot be told is n/a."""
    rows = []
    for line in lines:
        numbers = line.numbers()
        texts = [MISSING if math.isnan(value) else repr(value) for value in numbers.values()]
        rows.append([*line.labels.values(), *texts])
    columns = [*lines[0].labels, *lines[0].numbers()]
    return "".join("\t".join(row) + "\n" for row in [columns, *rows])


def dictionary_of(lines: list[Line]) -> dict[str, dict[str, str]]:
    """Return the data dictionary of the table."""
    found = {}
    for name in (*lines[0].labels, *lines[0].numbers()):
        bare = name.removesuffix("_low").removesuffix("_high")
        end = "" if bare == name else f" {'Lower' if name.endswith('_low') else 'Upper'} end."
        found[name] = {"Description": DEFINITIONS[bare] + end}
    return found
