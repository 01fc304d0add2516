"""The table of one model over all participants: a row per fit and region, a column per metric.

Rows come from quality files one by one and end up in typed arrays, so that a hundred thousand fit in memory.
"""

from __future__ import annotations

import io
import math
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.outputs.tables import OutputTable
from bids_qmri.qc.definitions import MASK, REGION, Metric, metric_definitions
from bids_qmri.reports.group_flags import OUTLIER_LIMIT, find_outliers
from bids_qmri.reports.records import Record

ENTITIES = ("ses", "task", "acq", "ce", "rec", "dir", "run", "space", "chunk", "res")
"""Entities beside ``sub`` that tell acquisitions apart."""

MISSING = "n/a"
OUTLIER_COLUMN = "outlier_in"
ROWS_AT_A_TIME = 5000
LONGEST_TEXT = 80
"""Characters of a name of a region, or of a cell of participants.tsv, that tables and pages show."""

LARGEST = 1e30
"""Larger numbers are no metrics; pages hold them in single precision."""

NUMBERS = (int, float)
"""Types of metrics in JSON files."""


@dataclass(frozen=True, eq=False)
class GroupTable:
    """All fits of one model.

    Parameters
    ----------
    table
        What the model writes.
    labels
        Text by column, one per row: ``participant_id``, entities, ``estimator``, ``region``.
    pages
        Address of the participant's page by row.
    metrics
        Numbers by metric, (n,), NaN where missing; metrics that nobody has are left out.
    outliers
        Rows whose value is an outlier, by metric that is judged, (n,).
    """

    table: OutputTable
    labels: Mapping[str, Sequence[str]]
    pages: Sequence[str]
    metrics: Mapping[str, npt.NDArray[np.float64]]
    outliers: Mapping[str, npt.NDArray[np.bool_]]

    @property
    def definitions(self) -> dict[str, Metric]:
        """What the metrics mean, in the order of columns."""
        known = _definitions(self.table)
        return {name: known[name] for name in self.metrics}

    def flags(self) -> list[list[str]]:
        """Return the metrics in which each row is an outlier."""
        found: list[list[str]] = [[] for _ in self.pages]
        for name, rows in self.outliers.items():
            for row in np.flatnonzero(rows):
                found[row].append(name)
        return found


class TableBuilder:
    """Collect the fits of one model.

    Parameters
    ----------
    table
        What the model writes.
    """

    def __init__(self, table: OutputTable) -> None:
        self._table = table
        self._known = _definitions(table)
        names = ("participant_id", *ENTITIES, "estimator", "region")
        self._labels: dict[str, list[str]] = {name: [] for name in names}
        self._pages: list[str] = []
        self._metrics: dict[str, array[float]] = {}

    def add(self, record: Record) -> None:
        """Append the rows of one fit: the mask, then regions."""
        self._append(record, MASK, record.fields.get("Metrics"))
        regions = record.fields.get("Regions")
        for name, metrics in regions.items() if isinstance(regions, Mapping) else ():
            self._append(record, " ".join(str(name).split())[:LONGEST_TEXT] or MISSING, metrics)

    def _append(self, record: Record, region: str, metrics: Any) -> None:
        row = len(self._pages)
        places = [record.entities.get(key, MISSING) for key in ENTITIES]
        texts = [f"sub-{record.participant}", *places, record.estimator, region]
        for label, text in zip(self._labels.values(), texts, strict=True):
            label.append(sys.intern(text))
        self._pages.append(sys.intern(record.page))
        known, columns = self._known, self._metrics
        for name, value in metrics.items() if isinstance(metrics, Mapping) else ():
            # A study has millions of these. JSON knows NaN, and integers of any length.
            if type(value) in NUMBERS and name in known and -LARGEST < value < LARGEST:
                column = columns.setdefault(name, array("d"))
                if len(column) < row:
                    column.extend([math.nan] * (row - len(column)))
                column.append(value)

    def finish(self) -> GroupTable:
        """Return the table with outliers judged."""
        count = len(self._pages)
        metrics: dict[str, npt.NDArray[np.float64]] = {}
        for name in self._known:
            if name in self._metrics:
                column = self._metrics[name]
                column.extend([math.nan] * (count - len(column)))
                metrics[name] = np.frombuffer(column, dtype=np.float64)
        groups = list(zip(self._labels["estimator"], self._labels["region"], strict=True))
        outliers = find_outliers(metrics, groups, [row.name for row in self._table.maps])
        return GroupTable(self._table, self._labels, self._pages, metrics, outliers)


def _definitions(table: OutputTable) -> dict[str, Metric]:
    return metric_definitions({row.name: row.unit for row in table.maps}, table.rmse.unit)


def as_tsv(group: GroupTable) -> str:
    """Return the table as text with full precision; what is missing is n/a."""
    flags = group.flags()
    parts = ["\t".join([*group.labels, OUTLIER_COLUMN, *group.metrics]) + "\n"]
    # Some rows at a time: a cell takes ten times as much memory as what becomes of it.
    for first in range(0, len(flags), ROWS_AT_A_TIME):
        rows = slice(first, first + ROWS_AT_A_TIME)
        columns: list[Sequence[str]] = [column[rows] for column in group.labels.values()]
        columns.append([",".join(names) or "none" for names in flags[rows]])
        columns += [_texts(values[rows]) for values in group.metrics.values()]
        parts += [line + "\n" for line in map("\t".join, zip(*columns, strict=True))]
    return "".join(parts)


def _texts(values: npt.NDArray[np.float64]) -> list[str]:
    """Write numbers with all their digits, whole ones without a decimal point."""
    return [MISSING if value != value else repr(value).removesuffix(".0") for value in values.tolist()]


def dictionary(group: GroupTable) -> dict[str, dict[str, str]]:
    """Return the data dictionary of the table."""
    entities = {key: f"Value of the entity {key}- of the acquisition." for key in ENTITIES}
    texts = {
        "participant_id": "Participant, with sub-.",
        **entities,
        "estimator": "Label of the estimator, as in desc-.",
        "region": REGION,
        OUTLIER_COLUMN: f"Metrics that lie more than {OUTLIER_LIMIT:g} robust standard deviations (1.4826 "
        "times the median absolute deviation) from the median of the same estimator and region: to their bad "
        "side, medians of maps to either side; none if there is none.",
    }
    return {name: {"Description": text} for name, text in texts.items()} | {
        name: {"Units": metric.units, "Description": metric.description}
        for name, metric in group.definitions.items()
    }


def as_parquet(group: GroupTable) -> bytes | None:
    """Return the table as a Parquet file, missing values as null; None where pyarrow is not installed."""
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        return None
    labels = {
        name: [None if text == MISSING else text for text in column] for name, column in group.labels.items()
    }
    labels[OUTLIER_COLUMN] = [",".join(names) or "none" for names in group.flags()]
    metrics = {name: arrow.array(values, from_pandas=True) for name, values in group.metrics.items()}
    text = arrow.string()
    stream = io.BytesIO()
    parquet.write_table(
        arrow.table({name: arrow.array(column, text) for name, column in labels.items()} | metrics), stream
    )
    return stream.getvalue()
