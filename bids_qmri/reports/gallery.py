"""The figures of one fit: drawn from its maps, written beside them, embedded in the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.derivatives import write_atomic
from bids_qmri.bids.names import derivative_path
from bids_qmri.outputs.tables import MapRow
from bids_qmri.reports.figures import direction_mosaic, mosaic, status_mosaic, unit_label
from bids_qmri.reports.page import embed
from bids_qmri.reports.records import Record

_MAIN_INCHES = 9.0
_SIDE_INCHES = 5.0
_HALF_INCHES = 6.0


@dataclass(frozen=True)
class Figure:
    """An image of the page: data URI, text for those who cannot see it, caption."""

    source: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Estimate and standard deviation of one parameter."""

    symbol: str
    unit: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class _Image:
    values: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]


def draw_fit(record: Record) -> tuple[tuple[Gallery, ...], tuple[Figure, ...]]:
    """Draw all maps of a fit that were written.

    Returns
    -------
    maps
        One gallery per parameter.
    quality
        Status and residual.
    """
    status = _load(record, record.table.status)
    if status is None:
        return (), ()
    mask = status.values > 0
    maps = []
    for row in record.table.maps:
        sd = record.table.sd(row.name)
        alone = not record.path(sd, ".nii.gz").is_file()
        rows = ((row, _HALF_INCHES if alone else _MAIN_INCHES), (sd, _SIDE_INCHES))
        drawn = [_draw(record, one, mask, width) for one, width in rows]
        figures = tuple(figure for figure in drawn if figure is not None)
        if figures:
            maps.append(Gallery(row.symbol, unit_label(row.unit), figures))
    residual = _draw(record, record.table.rmse, mask, _HALF_INCHES)
    shown = (_draw_status(record, status), residual)
    return tuple(maps), tuple(figure for figure in shown if figure is not None)


def _draw(record: Record, row: MapRow, mask: npt.NDArray[np.bool_], width: float) -> Figure | None:
    image = _load(record, row)
    if image is None:
        return None
    if row.darkened_by is not None:
        return _draw_direction(record, row, image, mask, width)
    of = f"sd of {row.symbol}" if row.tail == "Std" else row.symbol
    png = mosaic(
        image.values,
        mask,
        affine=image.affine,
        units=row.unit,
        limits=row.range,
        cmap=row.cmap,
        title=of,
        width=width,
    )
    alt = f"Slices of the map of {of} by {record.estimator}, {_scale(row)}."
    return _keep(record, row, png, alt, row.description)


def _draw_direction(
    record: Record, row: MapRow, image: _Image, mask: npt.NDArray[np.bool_], width: float
) -> Figure:
    darkening = _load(record, record.table.estimate(str(row.darkened_by)))
    brightness = np.ones(mask.shape) if darkening is None else 1.0 - darkening.values
    png = direction_mosaic(image.values, brightness, mask, affine=image.affine, title=row.symbol, width=width)
    alt = f"Slices of the map of {row.symbol} by {record.estimator}, a colour for each direction."
    return _keep(record, row, png, alt, row.description)


def _draw_status(record: Record, status: _Image) -> Figure:
    row = record.table.status
    png = status_mosaic(status.values, affine=status.affine, title="status", width=_HALF_INCHES)
    alt = f"Slices of the status map by {record.estimator}; the summary table gives the fractions."
    return _keep(record, row, png, alt, "What happened in each voxel.")


def _scale(row: MapRow) -> str:
    if row.range is None:
        return "colours scaled to the data"
    return f"colours from {row.range[0]:g} to {row.range[1]:g} {unit_label(row.unit)}".rstrip()


def _keep(record: Record, row: MapRow, png: bytes, alt: str, caption: str) -> Figure:
    """Write the figure where readers of nipreps look for it, and embed it."""
    name = derivative_path(record.entities, extension=".png", **row.name_parts(record.estimator)).name
    write_atomic(record.output_dir / f"sub-{record.participant}" / "figures" / name, png)
    return Figure(embed(png), alt, caption)


def _load(record: Record, row: MapRow) -> _Image | None:
    import nibabel as nib

    path = record.path(row, ".nii.gz")
    if not path.is_file():
        return None
    image: Any = nib.load(path)
    return _Image(np.asanyarray(image.dataobj), np.asarray(image.affine))
