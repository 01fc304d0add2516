"""Example maps of an evaluation: a slice by all measurements, by fewer, and the difference.

As Figures 5 and 7 of Kuppens et al. (doi:10.48550/arXiv.2412.20844).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.evaluation.study import Example
from bids_qmri.outputs.tables import MapRow
from bids_qmri.reports.colours import DIVERGING, levels, palette
from bids_qmri.reports.page import embed, percent, unit_label
from bids_qmri.reports.pictures import Grid, Scale, draw_map, robust_limits
from bids_qmri.reports.png import encode_indexed
from bids_qmri.reports.sheets import lay_out
from bids_qmri.units import FloatArray

DIFFERENCE = 0.25
"""Half of the range of differences, over that of the map."""


@dataclass(frozen=True)
class Slice:
    """One picture: data URI, text for those who cannot see it, width over height."""

    source: str
    alt: str
    aspect: str


@dataclass(frozen=True)
class Plate:
    """All pictures of one map.

    Parameters
    ----------
    title
        Symbol of the map.
    columns
        What stands in each column.
    rows
        Label of the estimator, and its pictures; None where there is none.
    scale, difference
        Colour bar of maps, and what full blue and red of differences are, with unit; empty without any.
    beyond
        Which share of the values lies beyond the colours, as a sentence; empty if none.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Slice | None, ...]], ...]
    scale: Scale
    difference: str
    beyond: str


def draw_plates(example: Example, rows: Mapping[str, MapRow]) -> Iterator[Plate]:
    """Yield the maps of a slice, a plate for each quantity."""
    grid = Grid(example.mask, lay_out(example.mask, example.affine))
    columns = [example.columns[0]]
    for name in example.columns[1:]:
        columns += [name, "difference"]
    for quantity, row in rows.items():
        every = [one[quantity] for maps in example.maps.values() for one in maps if one is not None]
        limits = row.range or robust_limits(np.concatenate(every))
        half = DIFFERENCE * (limits[1] - limits[0])
        beyond = _beyond(np.concatenate(every), limits)
        lines, scale = [], None
        for label, maps in example.maps.items():
            pictures: list[Slice | None] = []
            whole = None if maps[0] is None else maps[0][quantity]
            for place, one in enumerate(maps):
                values = None if one is None else one[quantity]
                picture, scale = _map(values, example, grid, row, limits, label, scale)
                pictures.append(picture)
                if place:
                    pictures.append(
                        _difference(values, whole, example, grid, half, f"{row.symbol} by {label}")
                    )
            lines.append((label, tuple(pictures)))
        if scale is not None and len(columns) > 1:
            told = f"{half:.3g} {unit_label(row.unit)}".rstrip()
            yield Plate(row.symbol, tuple(columns), tuple(lines), scale, told, beyond)
        elif scale is not None:
            side_by_side = tuple(picture for _, (picture, *_) in lines)
            yield Plate(row.symbol, tuple(example.maps), ((columns[0], side_by_side),), scale, "", beyond)


def _volume(values: FloatArray, example: Example) -> npt.NDArray[np.float64]:
    flat = np.full(example.mask.size, np.nan)
    flat[example.voxels] = values
    return flat.reshape(example.mask.shape, order="F")


def _map(
    values: FloatArray | None,
    example: Example,
    grid: Grid,
    row: MapRow,
    limits: tuple[float, float],
    label: str,
    scale: Scale | None,
) -> tuple[Slice | None, Scale | None]:
    if values is None:
        return None, scale
    drawn = draw_map(
        _volume(values, example),
        grid,
        name=row.symbol,
        units=row.unit,
        limits=limits,
        cmap=row.cmap or "viridis",
        caption="",
        by=label,
    )
    return Slice(drawn.source, drawn.alt, _aspect(grid)), drawn.scale


def _aspect(grid: Grid) -> str:
    return f"{grid.size[0]:g} / {grid.size[1]:g}"


def _difference(
    values: FloatArray | None, whole: FloatArray | None, example: Example, grid: Grid, half: float, what: str
) -> Slice | None:
    """Draw a difference from blue, below, over white to red."""
    if values is None or whole is None:
        return None
    pixels = levels(grid.sheet.fill(_volume(values - whole, example), 0.0), (-half, half))
    pixels[~grid.sheet.fill(grid.mask, False).astype(bool)] = 0
    alt = f"Difference of {what} from that by all measurements, blue to red from {-half:.3g} to {half:.3g}."
    return Slice(embed(encode_indexed(pixels, palette(DIVERGING))), alt, _aspect(grid))


def _beyond(values: FloatArray, limits: tuple[float, float]) -> str:
    """Say which share of the values of all pictures the colours do not tell apart."""
    known = values[np.isfinite(values)]
    share = float(np.mean((known < limits[0]) | (known > limits[1]))) if known.size else 0.0
    return (
        f"{percent(share)} of the values lie beyond the range, in the colours of its ends." if share else ""
    )
