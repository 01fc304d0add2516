"""Mosaics of maps as PNG: slices in radiological orientation, colour bar with units, failed voxels in grey.

Called by `subject.py`. Matplotlib is imported inside functions, because a run without reports never needs it.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.base import Status

MAX_SLICES = 12
SHEET_ASPECT = 2.0
"""Width over height that the arrangement of slices aims at."""

_INCH_HIGH = 6.0
_BAR = 1.4
"""Inches at the right edge for the colour bar."""
_DPI = 100
_BACKGROUND = (0.067, 0.075, 0.09)
_FAILED = (0.6, 0.6, 0.6)
_TEXT = "#e8eaed"
_THICK = 1.4
"""Voxels this many times longer along one axis show that slices were acquired across it."""

DIRECTION_COLOURS = {"right-left": "#ff0000", "front-back": "#00ff00", "head-foot": "#0000ff"}
"""Red, green and blue of a direction, the usual choice in diffusion imaging."""

STATUS_COLOURS = {1: "#2f9e8f", 2: "#f2c14e", 3: "#e4572e", 4: "#9b5de5", 5: "#4ea8de"}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Sheet:
    """Slices laid out side by side.

    Parameters
    ----------
    order
        For every pixel of the sheet the flat index into the volume it was made from, -1 between slices.
    pixel_aspect
        Height of a pixel over its width.
    left
        Letter of the patient's side at the left edge: R, or A for sagittal slices.
    """

    order: npt.NDArray[np.intp]
    pixel_aspect: float
    left: str

    def fill(self, volume: Array, empty: float) -> Array:
        """Return the sheet's pixels of a volume, shape (rows, columns), `empty` between slices."""
        return np.where(self.order < 0, empty, volume.ravel()[self.order])


def lay_out(mask: npt.NDArray[np.bool_], affine: npt.ArrayLike) -> Sheet:
    """Arrange up to twelve slices through a mask as radiologists look at them.

    Parameters
    ----------
    mask
        Voxels to show, shape (X, Y, Z); everything if it is empty.
    affine
        Voxel indices to scanner coordinates, shape (4, 4).

    Returns
    -------
    Sheet
        The patient's right (or front) at the left, front (or head) at the top.
    """
    import nibabel as nib

    turn = nib.orientations.io_orientation(np.asarray(affine))
    index = nib.orientations.apply_orientation(np.arange(mask.size).reshape(mask.shape), turn)
    shown = mask.ravel()[index] if mask.any() else np.ones(index.shape, dtype=bool)
    sizes = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    zooms = np.empty(3)
    zooms[turn[:, 0].astype(int)] = sizes
    axis = _slice_axis(index.shape, zooms)
    box = tuple(_extent(shown, other, 0 if other == axis else 2) for other in range(3))
    planes = np.moveaxis(index[box], axis, 0)[:, ::-1, ::-1].swapaxes(1, 2)
    planes = np.pad(planes[_spread(planes.shape[0])], ((0, 0), (0, 1), (0, 1)), constant_values=-1)
    across, up = (zooms[other] for other in range(3) if other != axis)
    order = _tile(planes, planes.shape[2] * across / (planes.shape[1] * up))
    return Sheet(order, float(up / across), "A" if axis == 0 else "R")


def _slice_axis(shape: tuple[int, ...], zooms: Array) -> int:
    """Choose the axis to cut across: the only one with a single voxel, the one with thick slices, or z."""
    single = [axis for axis in range(3) if shape[axis] == 1]
    if single:
        return single[-1]
    thickest = int(np.argmax(zooms))
    others = np.delete(zooms, thickest)
    return thickest if zooms[thickest] > _THICK * others.max() else 2


def _extent(shown: npt.NDArray[np.bool_], axis: int, margin: int) -> slice:
    hit = np.flatnonzero(shown.any(axis=tuple(other for other in range(3) if other != axis)))
    return slice(max(int(hit[0]) - margin, 0), int(hit[-1]) + 1 + margin)


def _spread(count: int) -> npt.NDArray[np.intp]:
    """Return up to MAX_SLICES indices, evenly spread and clear of both ends where slices are left out."""
    if count <= MAX_SLICES:
        return np.arange(count)
    return np.round(np.linspace(0, count - 1, MAX_SLICES + 2)[1:-1]).astype(np.intp)


def _tile(planes: npt.NDArray[np.intp], tile_aspect: float) -> npt.NDArray[np.intp]:
    """Put planes of shape (n, rows, columns) into one sheet, padded with -1."""
    count, high, wide = planes.shape
    columns = min(
        range(1, count + 1),
        key=lambda n: (
            abs(math.log(n * tile_aspect / math.ceil(count / n) / SHEET_ASPECT)) + 0.2 * (-count % n)
        ),
    )
    rows = math.ceil(count / columns)
    sheet = np.full((rows * columns, high, wide), -1, dtype=np.intp)
    sheet[:count] = planes
    tiled: npt.NDArray[np.intp] = (
        sheet.reshape(rows, columns, high, wide).swapaxes(1, 2).reshape(rows * high, columns * wide)
    )
    return tiled


def mosaic(
    values: Array,
    mask: npt.NDArray[np.bool_],
    *,
    affine: npt.ArrayLike,
    units: str,
    limits: tuple[float, float] | None,
    cmap: str,
    title: str,
    width: float = 9.0,
) -> bytes:
    """Draw a map.

    Parameters
    ----------
    values
        The map, shape (X, Y, Z); NaN inside the mask is shown in grey.
    mask
        Voxels that were fitted, same shape.
    affine
        Voxel indices to scanner coordinates, shape (4, 4).
    units
        CMIXF-12 string for the colour bar.
    limits
        Values at the ends of the colour bar; None: 1st and 99th percentile inside the mask.
    cmap
        Name of the colour map.
    title
        Text above the slices.
    width
        Largest width of the figure in inches of 100 pixels.

    Returns
    -------
    bytes
        A PNG file.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    inside = values[mask & np.isfinite(values)]
    low, high = limits or _robust_limits(inside)
    exponent = _exponent(high)
    norm = Normalize(low / 10**exponent, high / 10**exponent)
    sheet = lay_out(mask, affine)
    pixels = sheet.fill(np.where(mask, values, 0), 0.0).astype(np.float64) / 10**exponent
    colours = colormaps[cmap](norm(np.nan_to_num(pixels)))[..., :3]
    colours[~np.isfinite(pixels)] = _FAILED
    colours[~sheet.fill(mask, False).astype(bool)] = _BACKGROUND
    figure, bar = _canvas(sheet, colours, title, width)
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[
        bool(np.any(inside < low)), bool(np.any(inside > high))
    ]
    colour_bar = figure.colorbar(ScalarMappable(norm, colormaps[cmap]), cax=bar, extend=extend)
    bar.set_title(
        unit_label(units, exponent),
        color=_TEXT,
        fontsize=9,
        loc="left",
        pad=14 if extend in ("max", "both") else 6,
    )
    colour_bar.outline.set_visible(False)
    bar.tick_params(colors=_TEXT, labelsize=9, length=3)
    return _png(figure)


def direction_mosaic(
    direction: Array,
    brightness: Array,
    mask: npt.NDArray[np.bool_],
    *,
    affine: npt.ArrayLike,
    title: str,
    width: float = 9.0,
) -> bytes:
    """Draw a map of directions in the usual colours, which do not tell a direction from its opposite.

    Parameters
    ----------
    direction
        Unit vectors along the axes of the image, shape (X, Y, Z, 3); NaN inside the mask is shown in grey.
    brightness
        From 0 (black) to 1, shape (X, Y, Z).
    mask, affine, title, width
        As for `mosaic`.
    """
    from matplotlib.patches import Patch

    axes = np.asarray(affine)[:3, :3]
    turned = np.abs(direction @ (axes / np.linalg.norm(axes, axis=0)).T) * brightness[..., None]
    sheet = lay_out(mask, affine)
    colours = np.stack([sheet.fill(turned[..., axis], 0.0) for axis in range(3)], axis=-1).clip(0, 1)
    colours[~np.isfinite(colours).all(axis=-1)] = _FAILED
    colours[~sheet.fill(mask, False).astype(bool)] = _BACKGROUND
    figure, bar = _canvas(sheet, colours, title, width)
    bar.set_axis_off()
    _legend(figure, [Patch(color=colour, label=name) for name, colour in DIRECTION_COLOURS.items()])
    return _png(figure)


def status_mosaic(
    status: npt.NDArray[np.uint8], *, affine: npt.ArrayLike, title: str, width: float = 9.0
) -> bytes:
    """Draw a status map with a legend of the codes that occur.

    Parameters
    ----------
    status
        Codes, shape (X, Y, Z); 0 is outside the mask.
    affine
        Voxel indices to scanner coordinates, shape (4, 4).
    title, width
        As for `mosaic`.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    sheet = lay_out(status > 0, affine)
    codes = sheet.fill(status, 0).astype(int)
    table = np.array([_BACKGROUND, *(to_rgb(STATUS_COLOURS[code]) for code in range(1, 6))])
    figure, bar = _canvas(sheet, table[codes], title, width)
    bar.set_axis_off()
    patches = [
        Patch(color=colour, label=Status(code).name.lower().replace("_", " "))
        for code, colour in STATUS_COLOURS.items()
        if np.any(status == code)
    ]
    _legend(figure, patches)
    return _png(figure)


def _legend(figure: Any, patches: list[Any]) -> None:
    figure.legend(
        handles=patches,
        loc="upper right",
        ncols=1,
        frameon=False,
        labelcolor=_TEXT,
        fontsize=9,
        handlelength=1,
    )


def _canvas(sheet: Sheet, colours: Array, title: str, width: float) -> tuple[Any, Any]:
    """Return a figure that shows the sheet, no wider than it needs, and empty axes at its right edge."""
    from matplotlib.figure import Figure

    rows, columns = sheet.order.shape
    tall = rows * sheet.pixel_aspect / columns
    wide = max(min(width - _BAR, _INCH_HIGH / tall), 0.45 * width)
    high = min(max(wide * tall, 1.6), _INCH_HIGH)
    whole, total = wide + _BAR, high + 0.8
    figure = Figure(figsize=(whole, total), dpi=_DPI, facecolor=_BACKGROUND)
    axes = figure.add_axes((0.3 / whole, 0.4 / total, wide / whole, high / total))
    axes.imshow(colours, aspect=sheet.pixel_aspect, interpolation="nearest")
    axes.set_axis_off()
    figure.text(0.3 / whole, 1 - 0.28 / total, title, color=_TEXT, fontsize=11, fontweight="bold")
    # Without the letter nobody can tell radiological from neurological orientation.
    figure.text(0.08 / whole, 0.5, sheet.left, color=_TEXT, fontsize=10, va="center")
    bar = figure.add_axes(((wide + 0.5) / whole, 0.4 / total, 0.18 / whole, (high - 0.15) / total))
    return figure, bar


def _png(figure: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stream = io.BytesIO()
    # Without metadata the same figure gives the same bytes.
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": None})
    return stream.getvalue()


def _robust_limits(inside: Array) -> tuple[float, float]:
    if inside.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(inside, (1, 99)))
    low = min(low, 0.0)
    return (low, high) if high > low else (low, low + 1.0)


def _exponent(high: float) -> int:
    """Return the power of ten, a multiple of three, that makes tick labels short."""
    if high <= 0 or 1e-2 <= high < 1e4:
        return 0
    return 3 * math.floor(math.log10(high) / 3)


def unit_label(units: str, exponent: int = 0) -> str:
    """Return a unit as people read it: ``"mm^2/s"`` with exponent -3 is ``"10⁻³ mm²/s"``."""
    small = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
    head, *powers = units.split("^")
    text = head + "".join(power[:1].translate(small) + power[1:] for power in powers)
    text = {"1": "", "arbitrary": "arbitrary units"}.get(text, text)
    factor = f"10{str(exponent).translate(small)}" if exponent else ""
    return f"{factor} {text}".strip()
