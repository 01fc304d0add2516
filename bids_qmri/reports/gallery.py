"""The figures of one fit: drawn from its maps, written beside them, embedded in the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from bids_qmri.bids.derivatives import read_map, write_atomic
from bids_qmri.bids.names import derivative_path
from bids_qmri.outputs.tables import MapRow
from bids_qmri.qc.agreement import agreement_metrics, common_voxels
from bids_qmri.qc.metrics import determined_voxels, usable_voxels
from bids_qmri.reports.page import number, unit_label
from bids_qmri.reports.page_data import MASK, PageData, count_values, read_page_data
from bids_qmri.reports.panels import (
    draw_agreement,
    draw_histogram,
    draw_scatter,
    draw_trace,
)
from bids_qmri.reports.pictures import Grid, Picture, draw_direction, draw_map, draw_status, standalone
from bids_qmri.reports.records import Record
from bids_qmri.reports.sheets import lay_out


@dataclass(frozen=True)
class Panel:
    """A diagram and the text below it."""

    svg: Markup
    caption: str = ""


@dataclass(frozen=True)
class MapPanels:
    """What the page shows of one parameter: estimate, standard deviation, distribution."""

    symbol: str
    unit: str
    pictures: tuple[Picture, ...]
    histogram: Panel | None


@dataclass(frozen=True)
class Gallery:
    """All figures of a fit.

    Parameters
    ----------
    maps
        One entry per parameter.
    quality
        Status and residual.
    traces
        Signals of some voxels with their fits.
    agreement
        Per parameter, scatter and Bland-Altman plot against each reference.
    data
        What the fit kept for its page.
    """

    maps: tuple[MapPanels, ...] = ()
    quality: tuple[Picture, ...] = ()
    traces: tuple[Panel, ...] = ()
    agreement: tuple[tuple[str, tuple[Panel, ...]], ...] = ()
    data: PageData = field(default_factory=PageData)


@dataclass(frozen=True)
class Task:
    """What one call of `draw_fit` needs; plain data, so that it can be sent to another process.

    Parameters
    ----------
    record
        The fit.
    references
        Fits of the same acquisition and model that it is compared with.
    max_pixels
        Size of one picture.
    """

    record: Record
    references: tuple[Record, ...]
    max_pixels: int


@dataclass(frozen=True)
class _Image:
    values: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]


def draw_fit(task: Task) -> Gallery:
    """Draw all figures of a fit whose files are there."""
    record, data = task.record, read_page_data(task.record)
    traces = tuple(
        Panel(draw_trace(trace, data), f"Voxel {trace.voxel}, {trace.kind}: RMSE {number(trace.rmse)}.")
        for trace in data.traces
    )
    status = _load(record, record.table.status)
    if status is None:
        return Gallery(traces=traces, data=data)
    mask = status.values > 0
    grid = Grid(mask, lay_out(mask, status.affine, task.max_pixels))
    usable = usable_voxels(status.values)
    maps = tuple(filter(None, (_panels(record, row, grid, usable, data) for row in record.table.maps)))
    below = next(filter(None, (_load(record, row) for row in _underlays(record))), None)
    shown = mask.astype(np.float32) if below is None else below.values
    happened = draw_status(status.values, shown, grid, by=record.estimator)
    _keep(record, record.table.status, happened)
    beside = (record.table.rmse, record.table.removed)
    pictures = (happened, *(_draw(record, row, _load(record, row), grid) for row in beside))
    agreement = tuple((other.estimator, tuple(_compare(record, other))) for other in task.references)
    return Gallery(maps, tuple(filter(None, pictures)), traces, agreement, data)


def _panels(
    record: Record, row: MapRow, grid: Grid, usable: npt.NDArray[np.bool_], data: PageData
) -> MapPanels | None:
    image, known = _load(record, row), _load(record, record.table.determined(row.name))
    determined = None if known is None else known.values
    picture = _draw(record, row, image, grid, determined)
    if image is None or picture is None:
        return None
    if row.volumes:
        return MapPanels(row.symbol, unit_label(row.unit), (picture,), None)
    sd_row = record.table.sd(row.name)
    sd = _draw(record, sd_row, _load(record, sd_row), grid)
    histogram = (data.histograms or {}).get(row.name)
    if histogram is None:
        values = image.values[determined_voxels(usable, determined)]
        histogram = count_values(values, row.range, {MASK: np.ones(values.size, dtype=bool)})
    panel = Panel(draw_histogram(row, histogram, record.estimator), _counted(record, row))
    return MapPanels(row.symbol, unit_label(row.unit), tuple(filter(None, (picture, sd))), panel)


def _counted(record: Record, row: MapRow) -> str:
    """Say of which voxels a histogram is, where the data do not determine the map in all."""
    share = record.metrics.get(f"{row.name}_determined")
    if share is None or share == 1:
        return ""
    return f"Over voxels in which the data determine {row.symbol}: {100 * share:.1f} % of those estimated."


def _draw(
    record: Record,
    row: MapRow,
    image: _Image | None,
    grid: Grid,
    determined: npt.NDArray[Any] | None = None,
) -> Picture | None:
    if image is None or row.volumes not in ("", "direction"):
        return None
    name = f"sd of {row.symbol}" if row.tail == "Std" else row.symbol
    if row.volumes:
        brightness = _brightness(record, row)
        picture = draw_direction(
            image.values,
            np.ones(grid.mask.shape) if brightness is None else brightness,
            image.affine,
            grid,
            name=name,
            caption=row.description,
            by=record.estimator,
        )
    else:
        picture = draw_map(
            image.values,
            grid,
            name=name,
            units=row.unit,
            limits=row.range,
            cmap=row.cmap,
            caption="Standard deviation of the estimate." if row.tail else row.description,
            by=record.estimator,
            determined=determined,
        )
    _keep(record, row, picture)
    return picture


def _brightness(record: Record, row: MapRow) -> npt.NDArray[Any] | None:
    """Return how bright a direction is drawn, from 0 to 1; None where no map tells it."""
    name = row.darkened_by or row.brightened_by
    image = None if name is None else _load(record, record.table.estimate(name))
    if image is None:
        return None
    return np.asarray(1.0 - image.values if row.darkened_by else image.values)


def _underlays(record: Record) -> list[MapRow]:
    """Return the maps that show anatomy, the best first: an amplitude if there is one, else the first map."""
    numbers = [row for row in record.table.maps if not row.volumes]
    return sorted(numbers, key=lambda row: row.range is not None)


def _compare(record: Record, other: Record) -> Sequence[Panel]:
    """Draw scatter and Bland-Altman plot of every parameter that two fits share."""
    status, other_status = (_load(one, one.table.status) for one in (record, other))
    panels: list[Panel] = []
    if status is None or other_status is None or status.values.shape != other_status.values.shape:
        return panels
    labels = (record.estimator, other.estimator)
    for row in record.table.maps:
        ours, theirs = _load(record, row), _load(other, row)
        if ours is None or theirs is None or row.volumes or ours.values.ndim != 3:
            continue
        known, other_known = (_load(one, one.table.determined(row.name)) for one in (record, other))
        both = common_voxels(
            status.values,
            other_status.values,
            None if known is None else known.values,
            None if other_known is None else other_known.values,
        )
        pair = [image.values[both].astype(np.float64) for image in (ours, theirs)]
        finite = np.isfinite(pair[0]) & np.isfinite(pair[1])
        values, reference = pair[0][finite], pair[1][finite]
        if values.size == 0:
            continue
        one = np.ones(values.size, dtype=np.uint8)
        limits = agreement_metrics(values, one, reference, one)
        panels.append(Panel(draw_scatter(row, values, reference, labels)))
        low, bias, high = (number(_short(limits[key])) for key in ("loa_low", "bias", "loa_high"))
        words = (
            f"{row.symbol}: bias {bias}, 95 % of the differences from {low} to {high} {unit_label(row.unit)}"
        )
        panels.append(Panel(draw_agreement(row, values, reference, labels, limits), f"{words.strip()}."))
    return panels


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _keep(record: Record, row: MapRow, picture: Picture) -> None:
    """Write the figure where readers of nipreps look for it."""
    name = derivative_path(record.entities, extension=".svg", **row.name_parts(record.estimator)).name
    title = f"{record.acquisition}: {picture.name} by {record.estimator}"
    path = record.output_dir / f"sub-{record.participant}" / "figures" / name
    write_atomic(path, standalone(picture, title).encode("utf-8"))


def count_pictures(records: Sequence[Record]) -> int:
    """Return how many pictures the fits have, from which their size follows."""
    rows: list[Path] = []
    for record in records:
        table = record.table
        every = table.every_row()
        rows += [record.path(row, ".nii.gz") for row in every if row.tail != "Determined"]
    return sum(path.is_file() for path in rows)


def _load(record: Record, row: MapRow) -> _Image | None:
    path = record.path(row, ".nii.gz")
    if not path.is_file():
        return None
    return _Image(*read_map(path))
