"""Estimators of one model side by side: the same slices in the same colours, and where they differ.

Every fit draws its own part, so that fits can be drawn in several processes; `compare` joins the parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from bids_qmri.outputs.tables import MapRow
from bids_qmri.qc.agreement import REFERENCES, agreement_metrics
from bids_qmri.qc.common import common_voxels
from bids_qmri.reports.charts import legend
from bids_qmri.reports.colours import DIVERGING, LINE_COLOURS
from bids_qmri.reports.maps import Image, load, load_values
from bids_qmri.reports.page import number, shown_exponent, unit_label, with_unit
from bids_qmri.reports.page_data import PageData
from bids_qmri.reports.panels import Panel, draw_agreement, draw_scatter, draw_traces
from bids_qmri.reports.pictures import Grid, Picture, draw_map, robust_limits
from bids_qmri.reports.records import Record
from bids_qmri.reports.sheets import lay_out, pick

SLICES = 4
"""Of each map side by side; more are too small to see a difference in."""
REACH = 98
"""Percentile of the size of differences at the ends of their scale."""

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Part:
    """What one fit adds to a comparison: a map, and how it differs from that of the first estimator.

    Parameters
    ----------
    row
        The map.
    picture
        Some slices of it.
    difference
        This map minus that of the first estimator; None for the first itself.
    same
        What is said in place of a difference where there is none.
    agreement
        Scatter and Bland-Altman plot.
    """

    row: MapRow
    picture: Picture
    difference: Picture | None = None
    same: str = ""
    agreement: tuple[Panel, ...] = ()


@dataclass(frozen=True)
class Line:
    """One map by all estimators, then the differences."""

    symbol: str
    unit: str
    pictures: tuple[Picture, ...]
    same: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What the page shows of all estimators of a model at once.

    Parameters
    ----------
    estimators
        Their labels, the one that the others are compared with first.
    lines
        One per map that several have.
    key
        Which colour is whose, in the diagrams of signals.
    traces
        Signals of the voxels that all fits show, with the curves of all.
    agreement
        Scatter and Bland-Altman plots.
    """

    estimators: tuple[str, ...]
    lines: tuple[Line, ...]
    key: Markup
    traces: tuple[Panel, ...]
    agreement: tuple[Panel, ...]


def base_of(record: Record, records: Sequence[Record]) -> Record | None:
    """Return the fit that others of its acquisition and model are compared with; None if there is one alone.

    Parameters
    ----------
    record
        A fit.
    records
        All fits of its acquisition.
    """
    same = [other for other in records if other.table.model == record.table.model]
    if len(same) < 2:
        return None
    ranks = {label: place for place, label in enumerate(REFERENCES)}
    return min(same, key=lambda other: ranks.get(other.estimator, len(ranks)))


@dataclass(frozen=True)
class Beside:
    """What the maps of a fit are drawn beside.

    Parameters
    ----------
    record, base
        The fit, and the one of the same acquisition and model that it is compared with, which may be itself.
    grid
        The slices that all fits of the model show.
    status
        Status codes of both, each (X, Y, Z).
    """

    record: Record
    base: Record
    grid: Grid
    status: tuple[Values, Values]


def stand_beside(record: Record, base: Record, status: Image, max_pixels: int) -> Beside | None:
    """Return what a fit is drawn beside; None where grids differ.

    Parameters
    ----------
    record, base
        Two fits of one acquisition and model.
    status
        Of the first.
    max_pixels
        Of one picture.
    """
    other = status if record is base else load(base, base.table.status)
    if other is None or status.values.shape != other.values.shape:
        return None
    mask = other.values > 0
    sheet = pick(lay_out(mask, other.affine), mask, SLICES, max_pixels)
    return Beside(record, base, Grid(mask, sheet), (status.values, other.values))


def draw_part(beside: Beside, row: MapRow, values: Values, known: Values | None) -> Part | None:
    """Draw a map as its comparison shows it, and its difference from that of the first estimator.

    Parameters
    ----------
    beside
        The fits.
    row
        The map.
    values, known
        The map of the fit, and where the data determine it (None: nobody can tell), each (X, Y, Z).
    """
    record, base, grid = beside.record, beside.base, beside.grid
    alone = record is base
    reference = values if alone else load_values(base, row)
    if reference is None:
        return None
    picture = draw_map(
        values,
        grid,
        name=row.symbol,
        units=row.unit,
        limits=row.range or robust_limits(reference[grid.mask & np.isfinite(reference)]),
        cmap=row.cmap,
        caption="",
        by=record.estimator,
        determined=known,
    )
    part = Part(row, replace(picture, name=f"{row.symbol} by {record.estimator}"))
    if alone:
        return part
    other_known = load_values(base, base.table.determined(row.name))
    ours, theirs = beside.status
    common = common_voxels([(values, ours, known), (reference, theirs, other_known)])
    return _with_difference(part, values, reference, common, grid, (record.estimator, base.estimator))


def _with_difference(
    part: Part, values: Values, reference: Values, common: Values, grid: Grid, labels: tuple[str, str]
) -> Part:
    """Add the difference of two maps in the voxels that the data determine for both."""
    row = part.row
    pair = values[common].astype(np.float64), reference[common].astype(np.float64)
    half = float(np.percentile(np.abs(pair[0] - pair[1]), REACH)) if common.any() else 0.0
    between = f"{labels[0]} minus {labels[1]}"
    if half == 0.0:
        why = "the same in every voxel" if common.any() else "no voxel in which the data determine both"
        return replace(part, same=f"{row.symbol}, {between}: {why}.")
    half = float(f"{half:.1g}")
    change = np.where(common, values.astype(np.float64) - reference, np.nan)
    picture = draw_map(
        change,
        grid,
        name=f"differences of {row.symbol}",
        units=row.unit,
        limits=(-half, half),
        cmap=DIVERGING,
        caption="",
        by=between,
        absent="not determined for both",
    )
    one = np.ones(pair[0].size, dtype=np.uint8)
    limits = agreement_metrics(pair[0], one, pair[1], one)
    words = _agreement_words(row, limits, between)
    scatter, off_scatter = draw_scatter(row, *pair, labels)
    differences, off_differences = draw_agreement(row, *pair, labels, limits)
    panels = (
        Panel(scatter, f"{row.symbol}, {between}. {off_scatter}".rstrip()),
        Panel(differences, f"{words} {off_differences}".rstrip()),
    )
    told = words.partition(": ")[2]
    caption = f"{told[:1].upper()}{told[1:]} Over {pair[0].size} voxels. {picture.caption}"
    named = replace(picture, name=f"{row.symbol}, {between}", caption=caption)
    return replace(part, difference=named, agreement=panels)


def _agreement_words(row: MapRow, limits: Mapping[str, float | None], between: str) -> str:
    exponent = shown_exponent(row.unit)
    low, bias, high = (
        number(None if value is None else float(f"{value / 10.0**exponent:.3g}"))
        for value in (limits["loa_low"], limits["bias"], limits["loa_high"])
    )
    words = f"{row.symbol}, {between}: bias {bias}, 95 % of the differences from {low} to {high}"
    return f"{with_unit(words, unit_label(row.unit, exponent))}."


def compare(labels: Sequence[str], parts: Sequence[Sequence[Part]], data: Sequence[PageData]) -> Comparison:
    """Join what all fits of a model drew for their comparison.

    Parameters
    ----------
    labels
        Of the estimators, the one that the others are compared with first.
    parts, data
        What each drew, and what it kept for its page.
    """
    names = dict.fromkeys(part.row.name for own in parts for part in own)
    every = [[part for own in parts for part in own if part.row.name == name] for name in names]
    joint, colours = tuple(_traces(labels, data)), LINE_COLOURS[1:]
    return Comparison(
        tuple(labels),
        tuple(_line(found) for found in every if len(found) > 1),
        legend([(f"by {label}", colour) for label, colour in zip(labels, colours, strict=False)]),
        joint,
        tuple(panel for found in every for part in found for panel in part.agreement),
    )


def _line(found: Sequence[Part]) -> Line:
    row = found[0].row
    pictures = [part.picture for part in found]
    pictures += [part.difference for part in found if part.difference is not None]
    unit = unit_label(row.unit, shown_exponent(row.unit))
    return Line(row.symbol, unit, tuple(pictures), tuple(part.same for part in found if part.same))


def _traces(labels: Sequence[str], data: Sequence[PageData]) -> Iterator[Panel]:
    """Draw the voxels that all fits show, with the curves of all; nothing where most are not shared."""
    of_fits = [{trace.voxel: trace for trace in kept.traces} for kept in data]
    shared = [voxel for voxel in of_fits[0] if all(voxel in traces for traces in of_fits)]
    if 2 * len(shared) <= len(of_fits[0]) or len({kept.x_label for kept in data}) > 1:
        return
    kinds = {voxel: [one.kind for one in data[0].traces if one.voxel == voxel] for voxel in shared}
    for voxel in shared:
        traces = [own[voxel] for own in of_fits]
        pairs = zip(labels, traces, strict=True)
        told = ", ".join(f"{label} {number(one.rmse)}" for label, one in pairs)
        yield Panel(
            draw_traces(traces, labels, data[0]),
            f"Voxel {voxel}, {' and '.join(kinds[voxel])} of {labels[0]}: RMSE {told}.",
        )
