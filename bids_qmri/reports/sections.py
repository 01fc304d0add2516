"""The sections of a participant's page: one per acquisition, and within it one per model and estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup

from bids_qmri.errors import InputError
from bids_qmri.files import TABLE_LIMIT, parse_json, read_text
from bids_qmri.qc.agreement import REFERENCES
from bids_qmri.reports.cautions import HARDLY_DETERMINED
from bids_qmri.reports.gallery import Gallery, Panel, Task, count_pictures, draw_fit
from bids_qmri.reports.page import number, unit_label
from bids_qmri.reports.panels import draw_course, draw_motion, draw_protocol
from bids_qmri.reports.protocol import describe_choices, describe_protocol
from bids_qmri.reports.records import Record

PAGE_PIXELS = 5_000_000
"""Of all pictures of a page; a pixel takes about a byte, and a page should stay below 8 MB."""

DrawAll = Callable[[Callable[[Task], Gallery], Iterable[Task]], Iterable[Gallery]]
"""`map`, or that of a pool of processes."""


@dataclass(frozen=True)
class Row:
    """Statistics of one map: median, IQR, 5th and 95th percentile, median sd; where the data determine it."""

    symbol: str
    numbers: tuple[float | None, ...]
    unit: str
    determined: str


@dataclass(frozen=True)
class Cell:
    """Median of a map in a region.

    Parameters
    ----------
    value
        None where there is none.
    share
        Of the voxels with an estimate it is over, as text; empty for all, or where nobody can tell.
    faint
        Whether it is over few of them.
    """

    value: float | None
    share: str
    faint: bool


@dataclass(frozen=True)
class RegionTable:
    """Number of voxels and median of every map by region."""

    symbols: tuple[str, ...]
    rows: tuple[tuple[str, float | None, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Fit:
    """What the page shows of one record."""

    anchor: str
    title: str
    model: str
    estimator: str
    algorithm: str
    voxels: str
    estimated: str
    at_bound: str
    undetermined: str
    failed: str
    seconds: str
    figures: Gallery
    statistics: tuple[Row, ...]
    regions: RegionTable | None
    residuals: tuple[tuple[str, str], ...]
    choices: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Section:
    """All fits of one acquisition."""

    anchor: str
    label: str
    protocol: tuple[tuple[str, str], ...]
    plot: Markup | None
    motion: Markup | None
    courses: tuple[Panel, ...]
    sources: tuple[str, ...]
    fits: tuple[Fit, ...]


def make_sections(records: Sequence[Record], draw_all: DrawAll) -> tuple[Section, ...]:
    """Draw everything and put it in the order of the page.

    Parameters
    ----------
    records
        Fits, those of an acquisition next to each other.
    draw_all
        Applies the drawing of one fit to all; a pool's `map` draws in several processes.
    """
    max_pixels = PAGE_PIXELS // max(count_pictures(records), 1)
    tasks = [Task(record, _references(record, records), max_pixels) for record in records]
    drawn = iter(list(draw_all(draw_fit, tasks)))
    return tuple(_section(list(same), drawn) for _, same in groupby(records, key=place))


def place(record: Record) -> tuple[str, str]:
    """Return what fits of one acquisition share."""
    return record.table.datatype, record.acquisition


def anchor(record: Record) -> str:
    """Return the identifier of an acquisition on the page.

    The datatype keeps a VFA and a DCE series with the same entities apart.
    """
    return f"{record.table.datatype}-{record.acquisition}"


def _references(record: Record, records: Sequence[Record]) -> tuple[Record, ...]:
    """Return the fits that a fit is compared with: references of the same acquisition and model."""
    if record.estimator in REFERENCES:
        return ()
    return tuple(
        other
        for other in records
        if other.estimator in REFERENCES
        and place(other) == place(record)
        and other.table.model == record.table.model
    )


def _section(records: Sequence[Record], drawn: Iterator[Gallery]) -> Section:
    first, galleries = records[0], [next(drawn) for _ in records]
    fields = _sidecar(first)
    courses = next((one.data.courses for one in galleries if one.data.courses), ())
    return Section(
        anchor=anchor(first),
        label=f"{first.acquisition} {first.table.datatype}",
        protocol=describe_protocol(fields),
        plot=draw_protocol(fields),
        motion=draw_motion(first.fields),
        courses=tuple(Panel(*draw_course(course)) for course in courses),
        sources=tuple(str(source) for source in fields.get("Sources", ())),
        fits=tuple(map(_fit, records, galleries)),
    )


def _sidecar(record: Record) -> dict[str, Any]:
    """Return the sidecar of the first map that was written; empty if none can be read."""
    for row in record.table.maps:
        path = record.path(row, ".json")
        if path.is_file():
            try:
                fields = parse_json(read_text(path, TABLE_LIMIT))
            except (InputError, ValueError):
                continue
            return fields if isinstance(fields, dict) else {}
    return {}


def _fit(record: Record, figures: Gallery) -> Fit:
    metrics, table = record.metrics, record.table
    failed = [metrics.get(f"fraction_{word}") for word in ("not_converged", "unusable", "out_of_range")]
    seconds = figures.data.seconds
    return Fit(
        anchor=f"{anchor(record)}-{table.entity}-{record.estimator}",
        title=table.title,
        model=table.model,
        estimator=record.estimator,
        algorithm=str(_sidecar(record).get("EstimationAlgorithm", "")),
        voxels=number(metrics.get("n_voxels")),
        estimated=_percent([metrics.get(f"fraction_{word}") for word in ("ok", "at_bound", "undetermined")]),
        at_bound=_percent([metrics.get("fraction_at_bound")]),
        undetermined=_percent([metrics.get("fraction_undetermined")]),
        failed=_percent(failed),
        seconds="n/a" if seconds is None else f"{seconds:.1f} s",
        figures=figures,
        statistics=tuple(_statistics(record)),
        regions=_regions(record),
        residuals=tuple(_residuals(record)),
        choices=describe_choices(record.fields),
    )


def _percent(fractions: Sequence[float | None]) -> str:
    known = [fraction for fraction in fractions if fraction is not None]
    return f"{100 * sum(known):.1f} %" if known else "n/a"


def _statistics(record: Record) -> Iterator[Row]:
    for row in record.table.maps:
        keys = [f"{row.name}_{key}" for key in ("median", "iqr", "p05", "p95", "sd_median")]
        if keys[0] in record.metrics:
            numbers = tuple(record.metrics.get(key) for key in keys)
            determined = record.metrics.get(f"{row.name}_determined")
            yield Row(row.symbol, numbers, unit_label(row.unit), _percent([determined]))


def _regions(record: Record) -> RegionTable | None:
    found = record.fields.get("Regions")
    if not isinstance(found, Mapping) or not found:
        return None
    maps = [row for row in record.table.maps if f"{row.name}_median" in record.metrics]
    symbols = tuple(
        f"{row.symbol} ({unit})" if (unit := unit_label(row.unit)) else row.symbol for row in maps
    )
    rows = []
    for name, metrics in found.items():
        values = metrics if isinstance(metrics, Mapping) else {}
        cells = tuple(
            _cell(_number(values, f"{row.name}_median"), _number(values, f"{row.name}_determined"))
            for row in maps
        )
        rows.append((str(name), _number(values, "n_voxels"), cells))
    return RegionTable(symbols, tuple(rows))


def _number(metrics: Mapping[str, Any], key: str) -> float | None:
    value = metrics.get(key)
    return value if isinstance(value, int | float) else None


def _cell(median: float | None, determined: float | None) -> Cell:
    if determined is None or determined == 1:
        return Cell(median, "", False)
    return Cell(median, _percent([determined]), determined < HARDLY_DETERMINED)


def _residuals(record: Record) -> Iterator[tuple[str, str]]:
    rmse, nrmse = record.metrics.get("rmse_median"), record.metrics.get("nrmse")
    if rmse is not None:
        yield "Median RMSE", f"{number(rmse)} {unit_label(record.table.rmse.unit)}"
    if nrmse is not None:
        yield "Median RMSE over median amplitude", number(nrmse)
