"""Pictures of maps: every slice on one sheet, a scale with units, and what the viewer needs to read values.

A picture has one pixel per voxel; the browser enlarges it. Scale and letters are text of the page, so that
they stay legible on a telephone and to a screen reader.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import escape

from bids_qmri.estimators.base import STATUS_MEANING, Status
from bids_qmri.reports.beyond import pack_beyond
from bids_qmri.reports.charts import round_ticks, tick_text
from bids_qmri.reports.colours import (
    BACKGROUND,
    DIRECTION_COLOURS,
    FAILED,
    FAILED_COLOUR,
    HIGHEST,
    LOWEST,
    STATUS_COLOURS,
    VEIL_COLOUR,
    VEIL_OPACITY,
    levels,
    palette,
    ramp,
    rgb,
)
from bids_qmri.reports.page import embed, percent, shown_exponent, unit_label, with_unit
from bids_qmri.reports.png import encode_indexed, encode_rgb
from bids_qmri.reports.sheets import Mask, Sheet

Array = npt.NDArray[Any]

THUMB = 128
"""Pixels along the longer edge of a small picture, at most."""


@dataclass(frozen=True)
class Scale:
    """A colour bar: CSS gradient, ticks as position in percent and text, unit."""

    gradient: str
    ticks: tuple[tuple[float, str], ...]
    unit: str


@dataclass(frozen=True)
class Picture:
    """One sheet of slices as the page shows it.

    Parameters
    ----------
    name
        Of the map: ``"T1"``, ``"sd of T1"``.
    png
        The picture.
    alt, caption
        For those who cannot see it, and for those who can.
    size
        Width and height it would have with square voxels.
    left
        Letter of the patient's side at the left edge.
    scale
        Colour bar; None where colours stand for classes.
    key
        Colour and meaning of classes.
    viewer
        What turns its colours back into numbers.
    veil
        Picture of the same size that greys what the data do not determine, and its text; None: nothing.
    thumb
        One slice of it, small; empty: none was asked for.
    """

    name: str
    png: bytes
    alt: str
    caption: str
    size: tuple[float, float]
    left: str
    scale: Scale | None
    key: tuple[tuple[str, str], ...]
    viewer: dict[str, Any]
    veil: tuple[bytes, str] | None = None
    thumb: bytes = b""

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return embed(self.png)

    @property
    def thumb_source(self) -> str:
        """The small picture as a data URI, empty if there is none."""
        return embed(self.thumb) if self.thumb else ""

    @property
    def veil_source(self) -> str:
        """The veil as a data URI, empty if there is none."""
        return embed(self.veil[0]) if self.veil else ""


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a fit lie: mask, sheet of its slices, which part of it is shown small (or none)."""

    mask: Mask
    sheet: Sheet
    thumb: tuple[slice, slice] | None = None

    def describe(self) -> dict[str, Any]:
        """Return the geometry for the viewer."""
        return {
            "columns": self.sheet.columns,
            "count": self.sheet.count,
            "tile": list(self.sheet.tile),
            "axes": list(self.sheet.axes),
            "lengths": [float(f"{length:.4g}") for length in self.sheet.lengths],
            "steps": self.sheet.geometry(self.mask.shape),
        }

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the sheet with square voxels."""
        rows, columns = self.sheet.order.shape
        return float(columns), rows * self.sheet.pixel_aspect

    def small(self, pixels: Array) -> Array | None:
        """Return the part of a picture that is shown small, None if none is."""
        if self.thumb is None:
            return None
        part = pixels[self.thumb]
        step = math.ceil(max(part.shape[:2]) / THUMB)
        return np.ascontiguousarray(part[::step, ::step])

    @property
    def thinned(self) -> str:
        """What was left out of the sheet, as a sentence; empty if nothing was."""
        slices, pixels = self.sheet.every
        parts = [f"one of {slices} slices"] * (slices > 1) + [f"one of {pixels} rows and columns"] * (
            pixels > 1
        )
        return f"Shown: {', '.join(parts)}." if parts else ""


def draw_map(
    values: Array,
    grid: Grid,
    *,
    name: str,
    units: str,
    limits: tuple[float, float] | None,
    cmap: str,
    caption: str,
    by: str,
    determined: Array | None = None,
    absent: str = "no estimate",
) -> Picture:
    """Draw a map of numbers.

    Parameters
    ----------
    values
        The map, shape (X, Y, Z); NaN inside the mask is a voxel without an estimate.
    grid
        Voxels that were fitted, and their arrangement.
    name, units, cmap, caption
        As the output table says.
    limits
        Values at the ends of the scale; None: from the data.
    by
        Label of the estimator.
    determined
        Not 0 where the data determine the map, same shape; None: nobody can tell.
    absent
        What a voxel of the mask without a finite value is called.
    """
    inside = values[grid.mask & np.isfinite(values)]
    low, high = limits or robust_limits(inside)
    laid = grid.sheet.fill(values, 0.0)
    pixels = levels(laid, (low, high))
    pixels[~grid.sheet.fill(grid.mask, False).astype(bool)] = 0
    exponent = shown_exponent(units)
    unit, ends = unit_label(units, exponent), (low / 10.0**exponent, high / 10.0**exponent)
    alt = (
        f"Slices of the map of {name} by {by}, colours from {ends[0]:.4g} to {ends[1]:.4g} {unit}".rstrip()
        + "."
    )
    shown = _shown_range(inside, (low, high), with_unit(f"{ends[0]:.4g} to {ends[1]:.4g}", unit))
    veiled = grid.mask & np.isfinite(values) & (False if determined is None else determined == 0)
    share = np.count_nonzero(veiled) / max(inside.size, 1)
    key = [(FAILED_COLOUR, absent)] * bool(np.any(pixels == FAILED))
    key += [(VEIL_COLOUR, f"not determined by the data: {percent(share)}")] * bool(share > 0)
    small = grid.small(pixels)
    told: dict[str, Any] = {"low": ends[0], "high": ends[1], "unit": unit, "cmap": cmap}
    told["beyond"] = pack_beyond(grid.sheet, pixels, laid / 10.0**exponent)
    return Picture(
        name,
        encode_indexed(pixels, palette(cmap)),
        alt,
        " ".join(part for part in (caption, shown, grid.thinned) if part),
        grid.size,
        grid.sheet.sides[0],
        _scale(cmap, low, high, units),
        tuple(key),
        {"kind": "map", **told, **grid.describe()},
        _veil(veiled, grid, f"Grey where the data do not determine {name}: {percent(share)} of the voxels."),
        b"" if small is None else encode_indexed(small, palette(cmap)),
    )


def _veil(voxels: Array, grid: Grid, text: str) -> tuple[bytes, str] | None:
    """Return a picture that is grey in some voxels and transparent elsewhere, None if there are none."""
    if not np.any(voxels):
        return None
    shown = grid.sheet.fill(voxels, False).astype(np.uint8)
    return encode_indexed(shown, np.stack([rgb(BACKGROUND), rgb(VEIL_COLOUR)]), transparent=True), text


def draw_status(status: npt.NDArray[np.uint8], below: Array, grid: Grid, *, by: str) -> Picture:
    """Draw what happened in each voxel over an image in grey.

    Parameters
    ----------
    status
        Codes, shape (X, Y, Z).
    below
        Shown in grey where a voxel was simply estimated, same shape.
    grid, by
        As for `draw_map`.
    """
    codes = grid.sheet.fill(status, 0).astype(np.uint8)
    shades = levels(grid.sheet.fill(below, 0.0), robust_limits(below[grid.mask & np.isfinite(below)]))
    pixels = np.where(codes == Status.OUTSIDE, 0, np.clip(shades, LOWEST, HIGHEST - len(STATUS_COLOURS)))
    colours = palette("gray").copy()
    for level, (code, colour) in enumerate(STATUS_COLOURS.items(), HIGHEST - len(STATUS_COLOURS) + 1):
        colours[level] = rgb(colour)
        pixels[codes == code] = level
    counts = {code: int(np.count_nonzero(status == code)) for code in STATUS_COLOURS}
    total = max(int(np.count_nonzero(status)), 1)
    key = tuple(
        (STATUS_COLOURS[code], f"{STATUS_MEANING[code]}: {percent(many / total)}")
        for code, many in counts.items()
        if many
    )
    words = "; ".join(text for _, text in key) or "every voxel was estimated"
    meanings = {STATUS_COLOURS[code]: STATUS_MEANING[code] for code in counts}
    return Picture(
        "status",
        encode_indexed(pixels.astype(np.uint8), colours),
        f"Slices of the status map by {by}: {words}.",
        " ".join(["What happened in each voxel, over a map in grey."] + [grid.thinned] * bool(grid.thinned)),
        grid.size,
        grid.sheet.sides[0],
        None,
        key or (("#808080", "every voxel was estimated"),),
        {"kind": "status", "meanings": meanings, "cmap": "gray", **grid.describe()},
    )


def draw_direction(
    direction: Array,
    brightness: Array,
    affine: npt.ArrayLike,
    grid: Grid,
    *,
    name: str,
    caption: str,
    by: str,
) -> Picture:
    """Draw directions in the usual colours, which do not tell a direction from its opposite.

    Parameters
    ----------
    direction
        Unit vectors along the axes of the image, shape (X, Y, Z, 3).
    brightness
        From 0 (black) to 1, shape (X, Y, Z).
    affine
        Voxel indices to scanner coordinates, shape (4, 4).
    grid, name, caption, by
        As for `draw_map`.
    """
    axes = np.asarray(affine)[:3, :3]
    turned = np.abs(direction @ (axes / np.linalg.norm(axes, axis=0)).T) * brightness[..., None]
    pixels = np.stack([grid.sheet.fill(turned[..., axis], 0.0) for axis in range(3)], axis=-1)
    unknown = ~np.isfinite(pixels).all(axis=-1)
    colours = np.rint(255 * np.nan_to_num(pixels).clip(0, 1)).astype(np.uint8)
    colours[unknown] = rgb(FAILED_COLOUR)
    colours[~grid.sheet.fill(grid.mask, False).astype(bool)] = rgb(BACKGROUND)
    small = grid.small(colours)
    return Picture(
        name,
        encode_rgb(colours),
        f"Slices of the map of {name} by {by}, a colour for each direction.",
        " ".join([caption] + [grid.thinned] * bool(grid.thinned)),
        grid.size,
        grid.sheet.sides[0],
        None,
        tuple((colour, text) for text, colour in DIRECTION_COLOURS.items()),
        {"kind": "direction", "cmap": "", **grid.describe()},
        thumb=b"" if small is None else encode_rgb(small),
    )


def robust_limits(inside: Array) -> tuple[float, float]:
    """Return the 1st and 99th percentile, the lower one at most 0; 0 and 1 without values."""
    if inside.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(inside, (1, 99)))
    low = min(low, 0.0)
    return (low, high) if high > low else (low, low + 1.0)


def _shown_range(inside: Array, limits: tuple[float, float], told: str) -> str:
    """Say what the colours reach from and to, and how many values beyond they do not tell apart."""
    if not inside.size:
        return ""
    shares = {"above": float(np.mean(inside > limits[1])), "below": float(np.mean(inside < limits[0]))}
    parts = [f"{percent(share)} of the voxels lie {where}" for where, share in shares.items() if share > 0]
    beyond = f"; {' and '.join(parts)} the range, in the colour of its end" if parts else ""
    return f"Colours from {told}{beyond}."


def _scale(cmap: str, low: float, high: float, units: str) -> Scale:
    exponent = shown_exponent(units)
    ticks = round_ticks(low / 10.0**exponent, high / 10.0**exponent)
    places = tuple(
        (round(100 * (tick * 10.0**exponent - low) / (high - low), 2), tick_text(tick)) for tick in ticks
    )
    return Scale(f"linear-gradient(to right, {', '.join(ramp(cmap))})", places, unit_label(units, exponent))


def standalone(picture: Picture, title: str) -> str:
    """Return a picture with title and scale as one SVG file, for slides and papers.

    Parameters
    ----------
    picture
        What to show.
    title
        Line above it.
    """
    width = 800.0
    high = width * picture.size[1] / picture.size[0]
    below = high + (92 if picture.scale else 50)
    end = below + 22 if picture.key else high + 90
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {end:.1f}" font-size="14" '
        f'font-family="sans-serif" fill="#e8eaed"><title>{escape(title)}</title>',
        f'<rect width="100%" height="100%" fill="{BACKGROUND}"/><text x="10" y="24">{escape(title)}</text>',
        *(
            f'<image y="36" width="{width:g}" height="{high:.1f}" preserveAspectRatio="none" '
            f'style="image-rendering:pixelated" opacity="{opacity:g}" href="{source}"/>'
            for source, opacity in ((picture.source, 1), (picture.veil_source, VEIL_OPACITY))
            if source
        ),
    ]
    if picture.scale is not None:
        parts += _scale_svg(picture, high + 48, width)
    for place, (colour, text) in enumerate(picture.key):
        x = 10 + 250 * place
        parts.append(f'<rect x="{x}" y="{below:.1f}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="{below + 11:.1f}">{escape(text)}</text>')
    return "".join([*parts, "</svg>"])


def _scale_svg(picture: Picture, y: float, width: float) -> list[str]:
    if picture.scale is None:
        return []
    colours, left, bar = ramp(picture.viewer["cmap"]), 40.0, 0.6 * width
    stops = (
        f'<stop offset="{100 * i / (len(colours) - 1):.1f}%" stop-color="{colour}"/>'
        for i, colour in enumerate(colours)
    )
    parts = [
        f'<defs><linearGradient id="scale">{"".join(stops)}</linearGradient></defs>',
        f'<rect x="{left:g}" y="{y:.1f}" width="{bar:g}" height="12" fill="url(#scale)"/>',
        f'<text x="{left + bar + 20:g}" y="{y + 12:.1f}">{escape(picture.scale.unit)}</text>',
    ]
    for place, text in picture.scale.ticks:
        x = left + bar * place / 100
        parts.append(f'<text x="{x:.1f}" y="{y + 28:.1f}" text-anchor="middle">{escape(text)}</text>')
    return parts
