"""Tables and pages over all participants, from their quality files alone: raw data is not needed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_qmri.bids.derivatives import write_atomic, write_sidecar
from bids_qmri.errors import NoInputError
from bids_qmri.outputs.tables import MapRow, OutputTable
from bids_qmri.qc.definitions import metric_definitions
from bids_qmri.reports.methods import write_citation
from bids_qmri.reports.page import count, number, render, unit_label
from bids_qmri.reports.records import Record, find_records
from bids_qmri.reports.strip import Plot, draw_strips, robust_outliers

OUTLIER_LIMIT = 3.5
"""Robust standard deviations from the median beyond which a value is flagged (Iglewicz and Hoaglin 1993)."""

_TABLE_ENTITIES = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "space", "chunk", "res")
_PAGE_COLUMNS = {
    "n_voxels": "Voxels",
    "fraction_ok": "Fraction ok",
    "fraction_at_bound": "At bound",
    "rmse_median": "RMSE",
}


@dataclass(frozen=True)
class TableRow:
    """One line of the page's table."""

    href: str
    acquisition: str
    estimator: str
    numbers: tuple[float | None, ...]
    outliers: tuple[str, ...]


def write_group(output_dir: Path) -> list[Path]:
    """Write ``group_<model>.tsv``, its data dictionary, ``group_<model>.html`` and the citations of all.

    Parameters
    ----------
    output_dir
        Root of the output dataset.

    Returns
    -------
    list of Path
        What was written, in the order of the models' names.

    Raises
    ------
    NoInputError
        No participant has a result.
    """
    by_model: dict[str, list[Record]] = defaultdict(list)
    for record in find_records(output_dir) if output_dir.is_dir() else ():
        by_model[record.table.model].append(record)
    if not by_model:
        raise NoInputError(
            "no participant has results",
            file=output_dir,
            needed="quality files (*_qc.json)",
            way_out="run the participant level first",
        )
    written = [path for model in sorted(by_model) for path in _write_model(output_dir, by_model[model])]
    runs = [(model, record.estimator) for model, records in by_model.items() for record in records]
    return [*written, *write_citation(output_dir, runs)]


def _write_model(output_dir: Path, records: Sequence[Record]) -> list[Path]:
    table = records[0].table
    paths = [output_dir / f"group_{table.model}.{kind}" for kind in ("tsv", "json", "html")]
    units = {row.name: row.unit for row in table.maps}
    defined = metric_definitions(units, table.rmse.unit)
    # A metric that nobody has (parameters an estimator lacks) would be a column of n/a.
    names = [name for name in defined if any(name in record.metrics for record in records)]
    write_atomic(paths[0], _tsv(records, names).encode("utf-8"))
    dictionary = {
        name: {"Units": defined[name].units, "Description": defined[name].description} for name in names
    }
    write_sidecar(paths[1], _identity_columns() | dictionary)
    write_atomic(paths[2], _page(table, records, names).encode("utf-8"))
    return paths


def _identity_columns() -> dict[str, dict[str, str]]:
    entities = {
        key: {"Description": f"Value of the entity {key}- of the acquisition."} for key in _TABLE_ENTITIES[1:]
    }
    return {
        "participant_id": {"Description": "Participant, with sub-."},
        **entities,
        "estimator": {"Description": "Label of the estimator, as in desc-."},
    }


def _tsv(records: Sequence[Record], names: Sequence[str]) -> str:
    """Return one line per fit with full precision; what is missing is n/a."""
    lines = ["\t".join(["participant_id", *_TABLE_ENTITIES[1:], "estimator", *names])]
    for record in records:
        places = [record.entities.get(key, "n/a") for key in _TABLE_ENTITIES[1:]]
        values = [record.metrics.get(name) for name in names]
        texts = ["n/a" if value is None else repr(value) for value in values]
        lines.append("\t".join([f"sub-{record.participant}", *places, record.estimator, *texts]))
    return "\n".join(lines) + "\n"


def _page(table: OutputTable, records: Sequence[Record], names: Sequence[str]) -> str:
    medians = [row for row in table.maps if f"{row.name}_median" in names]
    flags: dict[int, list[str]] = defaultdict(list)
    plots: list[Plot] = []
    for row in medians:
        values = {i: record.metrics.get(f"{row.name}_median") for i, record in enumerate(records)}
        outliers = _outliers(records, values)
        for i in sorted(outliers):
            flags[i].append(row.symbol)
        plots.append(draw_strips(row, records, values, outliers))
    columns = {f"{row.name}_median": _column_title(row) for row in medians}
    columns |= {name: title for name, title in _PAGE_COLUMNS.items() if name in names}
    participants = len({record.participant for record in records})
    return render(
        "group.html",
        title=table.title,
        table=f"group_{table.model}.tsv",
        lead=f"{count(len(records), 'fit')} of {count(participants, 'participant')}",
        limit=number(OUTLIER_LIMIT),
        plots=plots,
        columns=list(columns.values()),
        rows=[_table_row(record, list(columns), flags[i]) for i, record in enumerate(records)],
    )


def _column_title(row: MapRow) -> str:
    return row.symbol if row.unit in ("1", "arbitrary") else f"{row.symbol} {unit_label(row.unit)}"


def _outliers(records: Sequence[Record], values: Mapping[int, float | None]) -> set[int]:
    """Return the indices of outliers, each estimator judged by itself: estimators differ by design."""
    found: set[int] = set()
    for label in {record.estimator for record in records}:
        own = {i: value for i, value in values.items() if value is not None and records[i].estimator == label}
        found |= robust_outliers(own, OUTLIER_LIMIT)
    return found


def _table_row(record: Record, columns: Sequence[str], outliers: Sequence[str]) -> TableRow:
    return TableRow(
        href=record.page,
        acquisition=record.acquisition,
        estimator=record.estimator,
        numbers=tuple(record.metrics.get(name) for name in columns),
        outliers=tuple(outliers),
    )
