"""The sections of a participant's page: one per acquisition, and within it one per model and estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup

from bids_qmri.errors import InputError
from bids_qmri.files import TABLE_LIMIT, parse_json, read_text
from bids_qmri.outputs.tables import MapRow
from bids_qmri.reports.cautions import HARDLY_DETERMINED
from bids_qmri.reports.comparison import Comparison, base_of, compare
from bids_qmri.reports.gallery import Gallery, MapPanels, Task, count_pictures, draw_fit
from bids_qmri.reports.page import number, percent, shown_exponent, unit_label, with_unit
from bids_qmri.reports.page_data import PageData
from bids_qmri.reports.panels import Panel, draw_course, draw_motion, draw_protocol, draw_traces, is_still
from bids_qmri.reports.protocol import describe_choices, describe_protocol, protocol_line
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
class Glance:
    """One map of a fit at a glance: a slice of it, its median, and in how many voxels it is determined."""

    symbol: str
    source: str
    alt: str
    median: str
    determined: str


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
    traces: tuple[Panel, ...]
    glances: tuple[Glance, ...]
    statistics: tuple[Row, ...]
    regions: RegionTable | None
    residuals: tuple[tuple[str, str], ...]
    choices: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Group:
    """All fits of one model, side by side where there are several."""

    anchor: str
    title: str
    model: str
    fits: tuple[Fit, ...]
    comparison: Comparison | None


@dataclass(frozen=True)
class Section:
    """All fits of one acquisition.

    Parameters
    ----------
    anchor, label
        Identifier on the page, and text for people.
    protocol, gist, sources
        What was acquired as rows of a table, and in one line; from which files.
    plot, motion, courses
        What was varied, how far images moved, what the scan shows over time.
    still
        Said in place of `motion` where no image moved.
    groups
        Fits by model.
    """

    anchor: str
    label: str
    protocol: tuple[tuple[str, str], ...]
    gist: str
    plot: Markup | None
    motion: Markup | None
    still: str
    courses: tuple[Panel, ...]
    sources: tuple[str, ...]
    groups: tuple[Group, ...]

    @property
    def fits(self) -> tuple[Fit, ...]:
        """The fits of all models."""
        return tuple(fit for group in self.groups for fit in group.fits)


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
    sections = [list(same) for _, same in groupby(records, key=place)]
    tasks = [Task(record, base_of(record, same), max_pixels) for same in sections for record in same]
    drawn = iter(list(draw_all(draw_fit, tasks)))
    return tuple(_section(same, drawn) for same in sections)


def place(record: Record) -> tuple[str, str]:
    """Return what fits of one acquisition share."""
    return record.table.datatype, record.acquisition


def anchor(record: Record) -> str:
    """Return the identifier of an acquisition on the page.

    The datatype keeps a VFA and a DCE series with the same entities apart.
    """
    return f"{record.table.datatype}-{record.acquisition}"


def _section(records: Sequence[Record], drawn: Iterator[Gallery]) -> Section:
    first, galleries = records[0], [next(drawn) for _ in records]
    fields = _sidecar(first)
    courses = next((one.data.courses for one in galleries if one.data.courses), ())
    return Section(
        anchor=anchor(first),
        label=f"{first.acquisition} {first.table.datatype}",
        protocol=describe_protocol(fields),
        gist=protocol_line(fields),
        plot=draw_protocol(fields),
        motion=draw_motion(first.fields),
        still="No image moved." if is_still(first.fields) else "",
        courses=tuple(Panel(*draw_course(course)) for course in courses),
        sources=tuple(str(source) for source in fields.get("Sources", ())),
        groups=tuple(_groups(records, galleries)),
    )


def _groups(records: Sequence[Record], galleries: Sequence[Gallery]) -> Iterator[Group]:
    """Yield the fits of an acquisition model by model."""
    pairs = zip(records, galleries, strict=True)
    for _, found in groupby(pairs, key=lambda pair: pair[0].table.model):
        same = list(found)
        first = same[0][0]
        base = base_of(first, records)
        # The one that others are compared with comes first; the order of the rest stays.
        ordered = sorted(same, key=lambda pair: base is not None and pair[0] is not base)
        beside = None
        if base is not None:
            own = [gallery for _, gallery in ordered]
            labels = [record.estimator for record, _ in ordered]
            beside = compare(labels, [one.parts for one in own], [one.data for one in own])
        joint = beside is not None and bool(beside.traces)
        fits = tuple(
            _fit(record, gallery, () if joint else tuple(_traces(record, gallery.data)))
            for record, gallery in ordered
        )
        where = f"{anchor(first)}-{first.table.entity}"
        yield Group(where, first.table.title, first.table.model, fits, beside)


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


def _traces(record: Record, data: PageData) -> Iterator[Panel]:
    """Draw the signals of some voxels with the fitted ones."""
    for trace in data.traces:
        text = f"Voxel {trace.voxel}, {trace.kind}: RMSE {number(trace.rmse)}."
        yield Panel(draw_traces([trace], [record.estimator], data), text)


def _fit(record: Record, figures: Gallery, traces: tuple[Panel, ...]) -> Fit:
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
        traces=traces,
        glances=tuple(_glance(record, one) for one in figures.maps),
        statistics=tuple(_statistics(record)),
        regions=_regions(record),
        residuals=tuple(_residuals(record)),
        choices=describe_choices(record.fields),
    )


def _glance(record: Record, panels: MapPanels) -> Glance:
    """Return what the summary of a fit shows of a map."""
    picture = panels.pictures[0] if panels.pictures else None
    row = next((row for row in record.table.maps if row.name == panels.name), None)
    median = None if row is None else record.metrics.get(f"{row.name}_median")
    told = "" if row is None or median is None else with_unit(number(_told(row, median)), panels.unit)
    share = record.metrics.get(f"{panels.name}_determined")
    return Glance(
        panels.symbol,
        picture.thumb_source if picture else "",
        f"A slice of {panels.symbol} by {record.estimator}.",
        told,
        "" if share is None else f"{percent(share)} determined",
    )


def _told(row: MapRow, value: float | None) -> float | None:
    """Return a number in the power of ten that the page tells its unit in."""
    exponent = shown_exponent(row.unit)
    return value if value is None or exponent == 0 else float(f"{value / 10.0**exponent:.4g}")


def _unit(row: MapRow) -> str:
    return unit_label(row.unit, shown_exponent(row.unit))


def _percent(fractions: Sequence[float | None]) -> str:
    known = [fraction for fraction in fractions if fraction is not None]
    return f"{100 * sum(known):.1f} %" if known else "n/a"


def _statistics(record: Record) -> Iterator[Row]:
    for row in record.table.maps:
        keys = [f"{row.name}_{key}" for key in ("median", "iqr", "p05", "p95", "sd_median")]
        if keys[0] in record.metrics:
            numbers = tuple(_told(row, record.metrics.get(key)) for key in keys)
            determined = record.metrics.get(f"{row.name}_determined")
            yield Row(row.symbol, numbers, _unit(row), _percent([determined]))


def _regions(record: Record) -> RegionTable | None:
    found = record.fields.get("Regions")
    if not isinstance(found, Mapping) or not found:
        return None
    maps = [row for row in record.table.maps if f"{row.name}_median" in record.metrics]
    symbols = tuple(f"{row.symbol} ({unit})" if (unit := _unit(row)) else row.symbol for row in maps)
    rows = []
    for name, metrics in found.items():
        values = metrics if isinstance(metrics, Mapping) else {}
        cells = tuple(
            _cell(
                _told(row, _number(values, f"{row.name}_median")), _number(values, f"{row.name}_determined")
            )
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
