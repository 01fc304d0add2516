"""What a scan shows over time, beside its maps: the arterial input, the curve of the tissue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Course:
    """A curve that a person checks before the maps.

    Parameters
    ----------
    caption
        What it is.
    x_label, y_label
        What the axes mean, with units.
    x, y
        Its points.
    marks
        Places along x that mean something, by what they mean.
    """

    caption: str
    x_label: str
    y_label: str
    x: list[float]
    y: list[float]
    marks: Mapping[str, float]
