"""Strip plots as SVG coordinates: one lane per estimator, one point per fit, outliers ringed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_qmri.outputs.tables import MapRow
from bids_qmri.reports.page import number, unit_label
from bids_qmri.reports.records import Record

_LEFT, _RIGHT = 96.0, 344.0
_LANE = 44
_JITTER = 12.0
_MAD_TO_SD = 1.4826


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
    """All fits of one estimator; `middle` is the position of their median."""

    label: str
    y: float
    middle: float
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Tick:
    """A number below the axis."""

    x: float
    text: str


@dataclass(frozen=True)
class Plot:
    """One figure of the group page."""

    height: int
    caption: str
    summary: str
    ticks: tuple[Tick, ...]
    lanes: tuple[Lane, ...]


def robust_outliers(values: Mapping[int, float], limit: float) -> set[int]:
    """Return the keys of values further than `limit` robust standard deviations from the median.

    Parameters
    ----------
    values
        Any numbers; fewer than three, or more than half of them equal, have no outliers.
    limit
        Distance in units of 1.4826 times the median absolute deviation.
    """
    if len(values) < 3:
        return set()
    numbers = np.array(list(values.values()))
    distance = np.abs(numbers - np.median(numbers))
    scale = _MAD_TO_SD * float(np.median(distance))
    if scale == 0:
        return set()
    return {key for key, away in zip(values, distance, strict=True) if away > limit * scale}


def draw_strips(
    row: MapRow, records: Sequence[Record], values: Mapping[int, float | None], outliers: set[int]
) -> Plot:
    """Lay out one map's medians.

    Parameters
    ----------
    row
        The map.
    records
        All fits of its model.
    values
        Median by index into `records`; None where it is missing.
    outliers
        Indices to be ringed.
    """
    known = {i: value for i, value in values.items() if value is not None}
    labels = sorted({records[i].estimator for i in known})
    low, high = _limits(list(known.values()))
    unit = unit_label(row.unit)
    lanes = []
    for place, label in enumerate(labels):
        own = {i: value for i, value in known.items() if records[i].estimator == label}
        y = 26.0 + _LANE * place
        points = tuple(
            _point(records[i], value, _position(value, low, high), y, unit, i in outliers)
            for i, value in sorted(own.items(), key=lambda item: item[0] in outliers)  # rings on top
        )
        lanes.append(Lane(label, y, _position(float(np.median(list(own.values()))), low, high), points))
    ticks = tuple(Tick(_position(value, low, high), number(value)) for value in _ticks(low, high))
    caption = f"{row.symbol}{f' in {unit}' if unit else ''}"
    summary = f"Strip plot of the median of {caption}: {len(known)} fits, {len(outliers)} outliers."
    return Plot(26 + _LANE * len(labels) + 14, caption, summary, ticks, tuple(lanes))


def _point(record: Record, value: float, x: float, y: float, unit: str, outlier: bool) -> Point:
    # From the name, so that a point stays where it was when participants are added.
    code = hashlib.sha256(record.acquisition.encode()).digest()[0] / 255
    text = f"{record.acquisition}: {number(value)} {unit}".strip()
    kind = "outlier" if outlier else "point"
    return Point(x, round(y + _JITTER * (2 * code - 1), 1), record.page, text, kind)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _position(value: float, low: float, high: float) -> float:
    return round(_LEFT + (_RIGHT - _LEFT) * (value - low) / (high - low), 1)


def _ticks(low: float, high: float) -> list[float]:
    """Return up to five round numbers between two limits."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [float(f"{step * i:.12g}") for i in range(first, math.floor(high / step) + 1)]
