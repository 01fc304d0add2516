"""Figures of the group page that need no script: boxes and points, one lane per estimator, for SVG."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.qc.definitions import MASK
from bids_qmri.reports.group_flags import FEWEST
from bids_qmri.reports.group_metrics import Shown, middle_of
from bids_qmri.reports.group_table import GroupTable
from bids_qmri.reports.page import number, percent

MOST_POINTS = 200
"""Fits of a lane up to which all are drawn; of more, the outliers alone, the furthest ones first."""

_LEFT, _RIGHT = 16.0, 344.0
_FIRST, _LANE = 32.0, 48
_JITTER = 10.0
_EDGE = 6.0
"""Robust spreads beyond the quartiles at which the axis ends; points further out are drawn at its end."""


@dataclass(frozen=True)
class Point:
    """One fit: position, page, hover text, CSS class."""

    x: float
    y: float
    href: str
    text: str
    kind: str


@dataclass(frozen=True)
class Lane:
    """All fits of one estimator; `places` are those of the 5th, 25th, 50th, 75th and 95th percentile.

    There are none of too few fits. `beside` says in how many voxels the data determine the map.
    """

    label: str
    beside: str
    y: float
    places: tuple[float, ...]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Tick:
    """A number below the axis."""

    x: float
    text: str


@dataclass(frozen=True)
class Figure:
    """Distribution of one metric; `common` says how many voxels all lanes share, if they do."""

    height: int
    caption: str
    common: str
    summary: str
    ticks: tuple[Tick, ...]
    lanes: tuple[Lane, ...]


def draw_distribution(group: GroupTable, shown: Shown) -> Figure:
    """Lay out one metric over the whole masks.

    Parameters
    ----------
    group
        All fits of a model.
    shown
        Which metric, and its scale.
    """
    values = group.metrics[shown.name] * 10.0**-shown.exponent
    rows = np.flatnonzero(np.array([region == MASK for region in group.labels["region"]]) & ~np.isnan(values))
    flagged = group.outliers.get(shown.judged or shown.name, np.zeros(values.size, dtype=bool))
    low, high = _limits(values[rows])
    labels = np.array(group.labels["estimator"])
    lanes = []
    for place, label in enumerate(sorted(set(labels[rows].tolist()))):
        own = rows[labels[rows] == label]
        y = _FIRST + _LANE * place
        quantiles = np.percentile(values[own], (5, 25, 50, 75, 95))
        points = tuple(
            _point(group, row, shown, bool(flagged[row]), (_position(values[row], low, high), y))
            for row in _drawn(own, values, flagged).tolist()
        )
        places = tuple(_position(value, low, high) for value in quantiles) if own.size >= FEWEST else ()
        lanes.append(Lane(f"{label} ({own.size})", _determined(group, shown, own), y, places, points))
    ticks = tuple(Tick(_position(value, low, high), number(value)) for value in round_numbers(low, high))
    count = int(np.count_nonzero(flagged[rows]))
    summary = f"Distribution of {shown.heading}: {rows.size} fits, {count} outliers."
    return Figure(
        int(_FIRST + _LANE * len(lanes)),
        shown.heading,
        _common(group, shown, rows),
        summary,
        ticks,
        tuple(lanes),
    )


def _determined(group: GroupTable, shown: Shown, rows: npt.NDArray[np.intp]) -> str:
    share = middle_of(group, shown.determined, rows)
    return "" if share is None else f"{percent(share)} determined"


def _common(group: GroupTable, shown: Shown, rows: npt.NDArray[np.intp]) -> str:
    voxels = middle_of(group, shown.common, rows)
    return "" if voxels is None else f"{math.floor(voxels + 0.5):,} voxels in common"


def _drawn(
    rows: npt.NDArray[np.intp], values: npt.NDArray[np.float64], flagged: npt.NDArray[np.bool_]
) -> npt.NDArray[np.intp]:
    """Return the rows of a lane that become points, outliers last so that nothing hides them."""
    if rows.size > MOST_POINTS:
        rows = rows[flagged[rows]]
        away = np.abs(values[rows] - np.median(values[rows])) if rows.size else values[rows]
        rows = rows[np.argsort(-away, kind="stable")][:MOST_POINTS]
    return rows[np.argsort(flagged[rows], kind="stable")]


def _point(group: GroupTable, row: int, shown: Shown, outlier: bool, place: tuple[float, float]) -> Point:
    name = acquisition(group, row)
    value = group.metrics[shown.name][row] * 10.0**-shown.exponent
    # From the name, so that a point stays where it was when participants are added.
    code = hashlib.sha256(name.encode()).digest()[0] / 255
    text = f"{name}: {number(value)} {shown.unit}".strip()
    kind = "outlier" if outlier else "point"
    x, middle = place
    return Point(x, round(middle + _JITTER * (2 * code - 1), 1), group.pages[row], text, kind)


def acquisition(group: GroupTable, row: int) -> str:
    """Return what was fitted in one row, as in file names."""
    entities = list(group.labels)[1:-2]
    texts = [f"{key}-{group.labels[key][row]}" for key in entities if group.labels[key][row] != "n/a"]
    return "_".join([group.labels["participant_id"][row], *texts])


def _limits(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    first, third = (float(value) for value in np.percentile(values, (25, 75)))
    reach = _EDGE * (third - first)
    if reach > 0:
        low, high = max(low, first - reach), min(high, third + reach)
    # A few fits that hardly differ must not look as if they did.
    margin = max(0.05 * (high - low), 0.05 * abs(high + low) / 2 - (high - low) / 2) or 1.0
    return low - margin, high + margin


def _position(value: float, low: float, high: float) -> float:
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return round(_LEFT + (_RIGHT - _LEFT) * share, 1)


def round_numbers(low: float, high: float) -> Sequence[float]:
    """Return up to five round numbers between two limits."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [float(f"{step * i:.12g}") for i in range(first, math.floor(high / step) + 1)]
