"""The figures of one fit: drawn from its maps, written beside them, embedded in the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.derivatives import write_atomic
from bids_qmri.bids.names import derivative_path
from bids_qmri.estimators.base import Status
from bids_qmri.outputs.tables import MapRow
from bids_qmri.qc.metrics import determined_voxels, usable_voxels
from bids_qmri.reports.comparison import SLICES, Beside, Part, draw_part, stand_beside
from bids_qmri.reports.maps import Image, load
from bids_qmri.reports.page import number, shown_exponent, unit_label, with_unit
from bids_qmri.reports.page_data import MASK, SAME, PageData, count_values, read_page_data
from bids_qmri.reports.panels import Panel, draw_histogram
from bids_qmri.reports.pictures import Grid, Picture, draw_direction, draw_map, draw_status, standalone
from bids_qmri.reports.records import Record
from bids_qmri.reports.region_statistics import counted, region_statistics
from bids_qmri.reports.sheets import lay_out
from bids_qmri.reports.start import Place, find_start


@dataclass(frozen=True)
class MapPanels:
    """What the page shows of one parameter: estimate, standard deviation, distribution.

    Parameters
    ----------
    symbol, unit
        What people call it, and the unit that all of its numbers are told in.
    pictures
        Estimate and standard deviation; nothing of a map that says one number.
    histogram
        None of a map that is no number.
    constant
        The one number, as a sentence; empty of all other maps.
    name
        Of its metrics.
    part
        What it adds to the comparison of the estimators of its model.
    """

    symbol: str
    unit: str
    pictures: tuple[Picture, ...]
    histogram: Panel | None = None
    constant: str = ""
    name: str = ""
    part: Part | None = None


@dataclass(frozen=True)
class Gallery:
    """All figures of a fit.

    Parameters
    ----------
    maps
        One entry per parameter.
    quality
        Status and residual.
    data
        What the fit kept for its page.
    """

    maps: tuple[MapPanels, ...] = ()
    quality: tuple[Picture, ...] = ()
    data: PageData = field(default_factory=PageData)

    @property
    def parts(self) -> tuple[Part, ...]:
        """What the fit adds to the comparison of the estimators of its model."""
        return tuple(one.part for one in self.maps if one.part is not None)


@dataclass(frozen=True)
class Task:
    """What one call of `draw_fit` needs; plain data, so that it can be sent to another process.

    Parameters
    ----------
    record
        The fit.
    base
        The fit of the same acquisition and model that it is compared with, which may be itself; None: none.
    max_pixels
        Size of one picture.
    """

    record: Record
    base: Record | None
    max_pixels: int


def draw_fit(task: Task) -> Gallery:
    """Draw all figures of a fit whose files are there."""
    record, data = task.record, read_page_data(task.record)
    status = load(record, record.table.status)
    if status is None:
        return Gallery(data=data)
    mask = status.values > 0
    sheet = lay_out(mask, status.affine, task.max_pixels)
    grid = Grid(mask, sheet, sheet.fullest(mask))
    base, few = task.base, task.max_pixels // SLICES
    beside = None if base is None else stand_beside(record, base, status, few)
    found = (_panels(record, row, grid, status.values, data, beside) for row in record.table.maps)
    maps = tuple(filter(None, found))
    below = next(filter(None, (load(record, row) for row in _underlays(record))), None)
    shown = mask.astype(np.float32) if below is None else below.values
    happened = draw_status(status.values, shown, grid, by=record.estimator)
    _keep(record, record.table.status, happened)
    plain, others = replace(grid, thumb=None), (record.table.rmse, record.table.removed)
    pictures = (happened, *(_draw(record, row, load(record, row), plain) for row in others))
    return Gallery(maps, tuple(filter(None, pictures)), data)


def _panels(
    record: Record,
    row: MapRow,
    grid: Grid,
    status: npt.NDArray[np.uint8],
    data: PageData,
    beside: Beside | None,
) -> MapPanels | None:
    usable = usable_voxels(status)
    image, known = load(record, row), load(record, record.table.determined(row.name))
    unit = unit_label(row.unit, shown_exponent(row.unit))
    if image is None:
        return None
    if not row.volumes and (said := _constant(image.values[usable], row, unit)):
        return MapPanels(row.symbol, unit, (), constant=said, name=row.name)
    determined = None if known is None else known.values
    picture = _draw(record, row, image, grid, determined)
    if picture is None:
        return None
    if row.volumes:
        return MapPanels(row.symbol, unit, (picture,))
    sure = determined_voxels(status == Status.OK, determined)
    start = _start(row, image.values, sure, grid, picture)
    told = {"regions": region_statistics(record, row), "counted": counted(record, row), "start": start}
    picture = replace(picture, viewer={**picture.viewer, **told})
    sd_row = record.table.sd(row.name)
    sd = _draw(record, sd_row, load(record, sd_row), replace(grid, thumb=None))
    histogram = (data.histograms or {}).get(row.name)
    if histogram is None:
        values = image.values[determined_voxels(usable, determined)]
        histogram = count_values(values, row.range, {MASK: np.ones(values.size, dtype=bool)})
    panel = Panel(draw_histogram(row, histogram, record.estimator), _counted(record, row))
    part = None if beside is None else draw_part(beside, row, image.values, determined)
    pictures = tuple(filter(None, (picture, sd)))
    return MapPanels(row.symbol, unit, pictures, panel, name=row.name, part=part)


def _start(
    row: MapRow, values: npt.NDArray[Any], sure: npt.NDArray[np.bool_], grid: Grid, picture: Picture
) -> Place | None:
    """Return where the crosshair starts on a map: on a sure value inside the range of its colours."""
    scale = 10.0 ** shown_exponent(row.unit)
    inside = (values > picture.viewer["low"] * scale) & (values < picture.viewer["high"] * scale)
    return find_start(grid.sheet, grid.mask, values, sure & inside)


def _constant(values: npt.NDArray[Any], row: MapRow, unit: str) -> str:
    """Say the value of a map that has one alone; nothing of others."""
    finite = values[np.isfinite(values)]
    if finite.size < 2:
        return ""
    low, high = float(finite.min()), float(finite.max())
    if high - low > SAME * max(abs(low), abs(high)):
        return ""
    value = number(float(f"{high / 10.0 ** shown_exponent(row.unit):.4g}"))
    return f"{row.symbol} is {with_unit(value, unit)} in every voxel: {_lower(row.description)}"


def _lower(sentence: str) -> str:
    """Return a sentence that goes on from a colon; abbreviations keep their capitals."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]


def _counted(record: Record, row: MapRow) -> str:
    """Say of which voxels a histogram is, where the data do not determine the map in all."""
    share = record.metrics.get(f"{row.name}_determined")
    if share is None or share == 1:
        return ""
    return f"Over voxels in which the data determine {row.symbol}: {100 * share:.1f} % of those estimated."


def _draw(
    record: Record,
    row: MapRow,
    image: Image | None,
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
            caption=f"{row.description} {_brightness_words(record, row)}".strip(),
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
    image = None if name is None else load(record, record.table.estimate(name))
    if image is None:
        return None
    return np.asarray(1.0 - image.values if row.darkened_by else image.values)


def _brightness_words(record: Record, row: MapRow) -> str:
    """Say what the brightness of the colours of a direction means."""
    name = row.darkened_by or row.brightened_by
    if name is None:
        return ""
    symbol = record.table.estimate(name).symbol
    return f"Darker where {symbol} is {'large' if row.darkened_by else 'small'}."


def _underlays(record: Record) -> list[MapRow]:
    """Return the maps that show anatomy, the best first: an amplitude if there is one, else the first map."""
    numbers = [row for row in record.table.maps if not row.volumes]
    return sorted(numbers, key=lambda row: row.range is not None)


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
