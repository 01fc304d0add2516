"""From numbers to colours: 254 levels of a perceptually uniform colour map, one for outside, one for failed.

Level 0 is outside the mask, levels 1 to 254 run from the lower to the upper end of the range, 255 is a voxel
without an estimate. The viewer of the page turns colours back into numbers by the same rule.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module, resources
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.base import Status

LOWEST, HIGHEST, FAILED = 1, 254, 255
"""Levels of the ends of the range and of voxels without an estimate; 0 is outside the mask."""

KEPT = "palettes.npz"
"""File of the colour maps that maps are drawn in, made by `computed`; others are computed."""

SCIENTIFIC = ("lipari", "navia")
"""Colour maps of F. Crameri among them, of relaxation (Fuderer et al., doi:10.1002/mrm.30290)."""

TURNED = "_r"
"""End of the name of a colour map that runs from its upper end to its lower."""

DIVERGING = "difference"
"""Colour map of what has a sign: blue below, white at the middle, red above."""

BACKGROUND = "#111317"
FAILED_COLOUR = "#9a9a9a"
VEIL_COLOUR, VEIL_OPACITY = "#565b63", 0.8
"""Of what lies over voxels in which the data do not determine a map; its colours still show through."""

STATUS_COLOURS: dict[Status, str] = {
    Status.AT_BOUND: "#f2c14e",
    Status.NOT_CONVERGED: "#e4572e",
    Status.UNUSABLE: "#b07cf0",
    Status.OUT_OF_RANGE: "#4ea8de",
    Status.UNDETERMINED: "#a0683c",
}
"""Of what is not simply estimated; that is shown in grey."""

DIRECTION_COLOURS = {"right-left": "#ff0000", "front-back": "#00ff00", "head-foot": "#0000ff"}
"""Red, green and blue of a direction, the usual choice in diffusion imaging."""

LINE_COLOURS = ("#0b8f7f", "#d1495b", "#4a7fd6", "#b8860b", "#8e5bc0", "#3f9142", "#c2569b", "#7a6a53")
"""Of curves; they can be told apart on light and dark ground."""

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]


def levels(values: Array, limits: tuple[float, float]) -> Pixels:
    """Return the level of every value, `FAILED` where it is not finite."""
    low, high = limits
    with np.errstate(invalid="ignore"):
        scaled = LOWEST + np.rint((HIGHEST - LOWEST) * (values.astype(np.float64) - low) / (high - low))
        inside = np.clip(scaled, LOWEST, HIGHEST)
    return np.where(np.isfinite(inside), inside, FAILED).astype(np.uint8)


@cache
def palette(cmap: str) -> Pixels:
    """Return the colour of every level, shape (256, 3); ``"gray"`` leaves out black and white."""
    shades = _kept().get(cmap.removesuffix(TURNED))
    if shades is not None and cmap.endswith(TURNED):
        shades = shades[::-1]
    if shades is None:
        shades = _blue_to_red() if cmap == DIVERGING else computed(cmap)
    return np.vstack([rgb(BACKGROUND), shades, rgb(FAILED_COLOUR)])


def _blue_to_red() -> Pixels:
    """Return the colours between the ends of differences, shape (254, 3)."""
    place = np.linspace(-1.0, 1.0, HIGHEST - LOWEST + 1)[:, None]
    blue, white, red = (rgb(text).astype(np.float64) for text in ("#2458b8", "#f4f4f4", "#b3262d"))
    shades = np.where(place < 0, white + (white - blue) * place, white + (red - white) * place)
    return np.rint(shades).astype(np.uint8)


@cache
def _kept() -> dict[str, Pixels]:
    """Return the colours between the ends by map: importing matplotlib takes longer than drawing a page."""
    with resources.files(__package__).joinpath(KEPT).open("rb") as file, np.load(file) as kept:
        return dict(kept)


def computed(cmap: str) -> Pixels:
    """Return the colours between the ends of a colour map of matplotlib, or of F. Crameri, shape (254, 3).

    Those of F. Crameri (doi:10.5281/zenodo.1243862) need the package cmcrameri, which makes them known to
    matplotlib. It is not needed for what is kept.
    """
    from matplotlib import colormaps

    if cmap in SCIENTIFIC:
        import_module("cmcrameri")
        cmap = f"cmc.{cmap}"
    span = (0.15, 0.8) if cmap == "gray" else (0.0, 1.0)
    shades = colormaps[cmap](np.linspace(*span, HIGHEST - LOWEST + 1))[:, :3]
    found: Pixels = np.rint(255 * shades).astype(np.uint8)
    return found


def rgb(colour: str) -> Pixels:
    """Return red, green and blue of ``#rrggbb``, shape (3,)."""
    return np.frombuffer(bytes.fromhex(colour[1:]), dtype=np.uint8)


def ramp(cmap: str, stops: int = 16) -> list[str]:
    """Return evenly spaced colours of a colour map as ``#rrggbb``."""
    places = np.rint(np.linspace(LOWEST, HIGHEST, stops)).astype(int)
    return [f"#{bytes(colour).hex()}" for colour in palette(cmap)[places]]
