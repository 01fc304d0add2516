"""Repeatability in vivo: halves of the images of three volunteers, fitted apart.

The series have 6 directions at 8 b-values and 12 images at b = 0. A split puts 3 directions, the same at all
b-values, and every other b = 0 image into either half; IVIM does not tell directions apart. No truth is
known: an estimator that answers a constant repeats perfectly, so medians of organs stand below.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations

import numpy as np

import bids_qmri
from benchmarks.tissue_base import BoolArray, IntArray
from benchmarks.tissue_geometry import Volunteer, volunteer
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.units import FloatArray

VOLUNTEERS = (1, 2, 3)
ORGANS = ("liver", "spleen", "pancreas")
ALL, BODY = "organs", "body"
FEWEST_VOXELS = 10
"""Voxels of an organ from which it counts: the spleen of sub-ivim3 has 6."""
PARAMETERS = {"d": ("D", 1e3), "f": ("f", 1.0)}
"""Symbol and factor by parameter."""

Half = Callable[[FloatArray, DiffusionProtocol, Volunteer], FitResult]
"""Takes the images of a half, (x, y, 1, N); returns maps (V,) in the body."""


def by_front_door(label: str) -> Half:
    """Return what fits a half as `bids_qmri.fit` does, with the noise estimated."""

    def fit(images: FloatArray, protocol: DiffusionProtocol, who: Volunteer) -> FitResult:
        return bids_qmri.fit("ivim", images[who.body], protocol, estimator=label)

    return fit


INVIVO_ROWS: dict[str, Half] = {label: by_front_door(label) for label in ("lsq", "mle", "bayes", "ncde")}
"""Add estimators here, with whatever goes before them."""


def halves(bvals: FloatArray, count: int) -> list[tuple[IntArray, IntArray]]:
    """Return up to `count` of the ten ways to split 6 directions, as indices of images."""
    place = np.zeros(bvals.size, dtype=np.intp)
    for b in np.unique(bvals):
        place[bvals == b] = np.arange(np.sum(bvals == b))
    splits = []
    for first in list(combinations(range(6), 3))[:10][:: max(10 // count, 1)][:count]:
        chosen = np.where(bvals == 0, place % 2 == 0, np.isin(place, first))
        splits.append((np.flatnonzero(chosen), np.flatnonzero(~chosen)))
    return splits


def repeatability(rows: dict[str, Half], splits: int) -> list[str]:
    """Return a Markdown table of median |half - half| by row and place, and of the medians themselves."""
    columns = [(name, place) for name in PARAMETERS for place in (*ORGANS, ALL, BODY)]
    heading = " | ".join(f"{PARAMETERS[name][0]} {place}" for name, place in columns)
    lines = [f"| row | {heading} | CPU-s |", "|" + "---|" * (len(columns) + 2)]
    medians = [f"| row | {heading} |", "|" + "---|" * (len(columns) + 1)]
    for name, half in rows.items():
        begin = time.process_time()
        try:
            apart, values = _differences(half, splits)
        except InputError as error:
            lines.append(f"| {name} failed: {str(error)[:80]} ... |")
            continue
        took = time.process_time() - begin
        lines.append(f"| {name} | " + " | ".join(_median(apart[c]) for c in columns) + f" | {took:.1f} |")
        medians.append(f"| {name} | " + " | ".join(_median(values[c]) for c in columns) + " |")
    return [
        "## In vivo: halves of the repetitions of sub-ivim1, 2 and 3",
        "",
        f"Median |half - half| over {splits} splits and the voxels of drawn organs, of all of these, and of",
        "the body; D in 1e-3 mm²/s. Noise is estimated in every half. A constant has 0: see the medians.",
        "",
        *lines,
        "",
        "Medians of the halves:",
        "",
        *medians,
        "",
    ]


def _median(values: list[FloatArray]) -> str:
    return f"{np.nanmedian(np.concatenate(values)):.2g}"


Found = dict[tuple[str, str], list[FloatArray]]
"""Values of voxels by parameter and place, one array per split and volunteer."""


def _differences(half: Half, splits: int) -> tuple[Found, Found]:
    """Return |half - half|, and the values of both halves."""
    apart: Found = defaultdict(list)
    values: Found = defaultdict(list)
    for number in VOLUNTEERS:
        who = volunteer(number)
        for chosen in halves(who.bvals, splits):
            maps = [half(who.images[..., i], DiffusionProtocol(who.bvals[i]), who).maps for i in chosen]
            for name, (_, scale) in PARAMETERS.items():
                first, second = (scale * found[name] for found in maps)
                for place, inside in _places(who).items():
                    apart[name, place].append(np.abs(first - second)[inside])
                    values[name, place].append(np.concatenate([first[inside], second[inside]]))
    return apart, values


def _places(who: Volunteer) -> dict[str, BoolArray]:
    """Return masks (V,) over the body."""
    drawn = {organ: who.outlines[organ][who.body] for organ in ORGANS if organ in who.outlines}
    large = {organ: inside for organ, inside in drawn.items() if inside.sum() >= FEWEST_VOXELS}
    together = np.any(list(large.values()), axis=0)
    return {**large, ALL: together, BODY: np.ones_like(together)}
