"""Small diagrams as SVG that takes its colours from the page, so that it suits light, dark and paper.

A `Chart` has limits, labels and marks; marks are added in data coordinates. Every text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from bids_qmri.reports.page import embed, number

WIDTH, HEIGHT = 310.0, 195.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 12.0, 40.0
_MAX_TICKS = 5
LEAST_TICKS = 3

Values = npt.ArrayLike
Limits = tuple[float, float]


class Chart:
    """A diagram with two axes, drawn mark by mark.

    Parameters
    ----------
    x, y
        Limits of the axes.
    x_label, y_label
        Texts beside them.
    summary
        What the diagram shows, for those who cannot see it.
    hide_y
        Leave out the numbers of the vertical axis, where only the shape matters.
    """

    def __init__(
        self, x: Limits, y: Limits, *, x_label: str, y_label: str, summary: str, hide_y: bool = False
    ) -> None:
        self._x, self._y = _ordered(x), _ordered(y)
        self._x_label, self._y_label, self._summary = x_label, y_label, summary
        self._hide_y = hide_y
        self._marks: list[str] = []

    def line(self, x: Values, y: Values, kind: str, colour: str = "") -> None:
        """Draw a polyline of a CSS class; values that are not finite interrupt it."""
        places = self._places(x, y)
        finite = np.isfinite(places).all(axis=1)
        for run in np.split(places, np.flatnonzero(~finite)):
            kept = run[np.isfinite(run).all(axis=1)]
            if len(kept) > 1:
                points = " ".join(f"{a:.1f},{b:.1f}" for a, b in kept.tolist())
                self._marks.append(f'<polyline class="{kind}"{_stroke(colour)} points="{points}"/>')

    def area(self, x: Values, y: Values, kind: str) -> None:
        """Fill below a line, down to the lower edge."""
        places = self._places(x, y)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in places.tolist())
        floor = HEIGHT - _BOTTOM
        ends = f"{places[0, 0]:.1f},{floor:.1f} {points} {places[-1, 0]:.1f},{floor:.1f}"
        self._marks.append(f'<polygon class="{kind}" points="{ends}"/>')

    def points(self, x: Values, y: Values, kind: str, radius: float = 2.6, colour: str = "") -> None:
        """Draw a dot at every finite place."""
        places, paint = self._places(x, y), f' style="fill:{colour}"' if colour else ""
        for a, b in places[np.isfinite(places).all(axis=1)].tolist():
            self._marks.append(f'<circle class="{kind}" cx="{a:.1f}" cy="{b:.1f}" r="{radius:g}"{paint}/>')

    def box(self, x: float, values: Values, width: float, colour: str) -> None:
        """Draw a box from quartile to quartile, its median, whiskers to the ends, and the mean as a ring."""
        found = np.asarray(values, np.float64)
        least, lower, middle, upper, most = np.percentile(found, (0, 25, 50, 75, 100))
        left, right = x - width / 2, x + width / 2
        self.line([left, right, right, left, left], [lower, lower, upper, upper, lower], "box", colour)
        self.line([left, right], [middle, middle], "box", colour)
        for end, edge in ((least, lower), (most, upper)):
            self.line([x, x], [edge, end], "box", colour)
        a, b = self._places([x], [found.mean()])[0]
        self._marks.append(f'<circle class="mean" cx="{a:.1f}" cy="{b:.1f}" r="3"{_stroke(colour)}/>')

    def stems(self, x: Values, y: Values, kind: str) -> None:
        """Draw a vertical line from the lower edge to every place, with a dot at its end."""
        floor = HEIGHT - _BOTTOM
        for a, b in self._places(x, y).tolist():
            self._marks.append(f'<path class="{kind}" d="M{a:.1f},{floor:.1f}V{b:.1f}"/>')
        self.points(x, y, kind)

    def level(self, y: float, kind: str) -> None:
        """Draw a horizontal line over the whole width."""
        place = float(self._places([self._x[0]], [y])[0, 1])
        self._marks.append(f'<path class="{kind}" d="M{_LEFT:g},{place:.1f}H{WIDTH - _RIGHT:g}"/>')

    def image(self, png: bytes) -> None:
        """Fill the whole plane between the axes with a picture."""
        self._marks.append(
            f'<image class="pixels" x="{_LEFT:g}" y="{_TOP:g}" width="{WIDTH - _LEFT - _RIGHT:g}" '
            f'height="{HEIGHT - _TOP - _BOTTOM:g}" preserveAspectRatio="none" href="{embed(png)}"/>'
        )

    def svg(self) -> Markup:
        """Return the diagram as an element for a page."""
        middle_x, middle_y = (_LEFT + WIDTH - _RIGHT) / 2, (_TOP + HEIGHT - _BOTTOM) / 2
        parts = [
            f'<svg class="chart" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" '
            f'aria-label="{escape(self._summary)}">',
            *self._grid(),
            *self._marks,
            f'<text x="{middle_x:g}" y="{HEIGHT - 6:g}" text-anchor="middle">{escape(self._x_label)}</text>',
            f'<text transform="translate(11 {middle_y:g}) rotate(-90)" text-anchor="middle">'
            f"{escape(self._y_label)}</text>",
            "</svg>",
        ]
        return Markup("".join(parts))

    def _grid(self) -> list[str]:
        floor, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
        parts = [f'<path class="axis" d="M{_LEFT:g},{_TOP:g}V{floor:g}H{right:g}"/>']
        for value in round_ticks(*self._x):
            x = float(self._places([value], [self._y[0]])[0, 0])
            parts.append(f'<path class="axis" d="M{x:.1f},{floor:g}v4"/>')
            text = escape(tick_text(value))
            parts.append(f'<text x="{x:.1f}" y="{floor + 15:g}" text-anchor="middle">{text}</text>')
        for value in () if self._hide_y else round_ticks(*self._y):
            y = float(self._places([self._x[0]], [value])[0, 1])
            parts.append(f'<path class="gridline" d="M{_LEFT:g},{y:.1f}H{right:g}"/>')
            text = escape(tick_text(value))
            parts.append(f'<text x="{_LEFT - 5:g}" y="{y + 3.5:.1f}" text-anchor="end">{text}</text>')
        return parts

    def _places(self, x: Values, y: Values) -> npt.NDArray[np.float64]:
        """Return data as coordinates of the drawing, shape (n, 2), kept within its frame."""
        width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
        with np.errstate(over="ignore"):  # what lies that far outside is drawn on the edge, like all outside
            across = (np.asarray(x, np.float64) - self._x[0]) / (self._x[1] - self._x[0])
            up = (np.asarray(y, np.float64) - self._y[0]) / (self._y[1] - self._y[0])
        places = np.empty((across.size, 2))
        places[:, 0] = _LEFT + width * np.minimum(np.maximum(across, 0.0), 1.0)
        places[:, 1] = _TOP + height * (1.0 - np.minimum(np.maximum(up, 0.0), 1.0))
        return places


def _ordered(limits: Limits) -> Limits:
    """Return limits that differ, whatever the data."""
    low, high = limits
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    return (low, high) if high > low else (low - (abs(low) or 1.0) / 2, low + (abs(low) or 1.0) / 2)


def _stroke(colour: str) -> str:
    return f' style="stroke:{colour}"' if colour else ""


def span(*values: Values, margin: float = 0.04, floor: float | None = None) -> Limits:
    """Return limits that hold all finite values with a margin; `floor` fixes the lower one."""
    every = np.concatenate([np.ravel(np.asarray(part, np.float64)) for part in values])
    finite = every[np.isfinite(every)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = margin * (high - low)
    return (low - room if floor is None else floor), high + room


def round_ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers between two limits."""
    rough = (high - low) / _MAX_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    steps = [power * factor for factor in (0.5, 1, 2, 5, 10, 20)]
    place = next(place for place, step in enumerate(steps) if place and step >= rough * (1 - 1e-9))
    coarse = _multiples(steps[place], low, high)
    # Two numbers do not tell whether an axis is linear; the next finer step gives at most six.
    return coarse if len(coarse) >= LEAST_TICKS else _multiples(steps[place - 1], low, high)


def _multiples(step: float, low: float, high: float) -> list[float]:
    first = math.ceil(low / step - 1e-9)
    return [float(f"{step * i:.12g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    """Return a short number: ``0.5``, ``1200``, ``1e-3``."""
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return number(float(f"{value:.6g}"))


def legend(names: Sequence[tuple[str, str]]) -> Markup:
    """Return a list of names, each behind a swatch of its colour."""
    items = (
        f'<li><span class="swatch" style="background:{colour}"></span>{escape(name)}</li>'
        for name, colour in names
    )
    return Markup(f'<ul class="legend">{"".join(items)}</ul>')
