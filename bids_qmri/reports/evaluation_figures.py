"""Box plots of an evaluation: errors, biases and variances over participants, by number of measurements.

As Figures 6, 8 and S9 of Kuppens et al. (doi:10.48550/arXiv.2412.20844).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from bids_qmri.evaluation.scores import Score
from bids_qmri.evaluation.subsets import RANDOM
from bids_qmri.outputs.tables import MapRow
from bids_qmri.reports.charts import Chart, span
from bids_qmri.reports.colours import LINE_COLOURS
from bids_qmri.reports.page import short_exponent, shown_exponent, unit_label

WIDTH = 0.7
"""Measurements that all boxes of one number of them take together."""

FEWEST_FOR_BOX = 3
"""Participants from which on there is a box beside the points."""

STATISTICS = {"mse": ("MSE", 2), "bias": ("bias", 1), "variance": ("variance", 2)}
"""What is drawn, in words, and its power of the unit."""


@dataclass(frozen=True)
class Figure:
    """A diagram and what it shows."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Scale:
    """How numbers of a map are written: factor, and unit as text."""

    factor: float
    unit: str

    def of_power(self, power: int) -> tuple[float, str]:
        """Return the factor and the unit of a power of the values."""
        if power == 1 or not self.unit:
            return self.factor**power, self.unit
        simple = self.unit.isalpha()
        return self.factor**power, f"{self.unit}²" if simple else f"({self.unit})²"


def scale_of(row: MapRow, values: Sequence[float] = ()) -> Scale:
    """Return how numbers of a map are written; of maps without a range, `values` are typical."""
    high = row.range[1] if row.range is not None else max((abs(v) for v in values), default=1.0)
    exponent = shown_exponent(row.unit) or short_exponent(high)
    return Scale(10.0**-exponent, unit_label(row.unit, exponent))


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """Return a colour for every estimator."""
    return {label: LINE_COLOURS[place % len(LINE_COLOURS)] for place, label in enumerate(labels)}


def draw_boxes(
    scores: Sequence[Score], row: MapRow, statistic: str, colours: Mapping[str, str], scale: Scale
) -> Figure:
    """Draw one statistic of one quantity over participants.

    Parameters
    ----------
    scores
        Of one quantity, reference, region and kind of sub-protocols.
    row
        The map.
    statistic
        Of `STATISTICS`.
    colours
        By estimator, in the order in which they stand side by side.
    scale
        Of the map.
    """
    word, power = STATISTICS[statistic]
    factor, unit = scale.of_power(power)
    lengths = sorted({one.length for one in scores})
    labels = [label for label in colours if any(one.estimator == label for one in scores)]
    values = np.array([getattr(one, statistic) * factor for one in scores])
    ends = span(values, [0.0], margin=0.08, floor=0.0 if statistic != "bias" else None)
    people = len({one.participant for one in scores})
    subsets = "random" if scores[0].subset == RANDOM else "fixed"
    chart = Chart(
        (lengths[0] - 0.6, lengths[-1] + 0.6),
        ends,
        x_label="number of measurements",
        y_label=f"{word} of {row.symbol}",
        summary=f"Box plots of the {word} of {row.symbol} on {subsets} sub-protocols, {people} participants.",
    )
    if statistic == "bias":
        chart.level(0.0, "identity")
    each = WIDTH / max(len(labels), 1)
    for place, label in enumerate(labels):
        for length in lengths:
            found = np.array(
                [getattr(s, statistic) * factor for s in scores if (s.estimator, s.length) == (label, length)]
            )
            x = length - WIDTH / 2 + (place + 0.5) * each
            if found.size >= FEWEST_FOR_BOX:
                chart.box(x, found, 0.8 * each, colours[label])
            chart.points(np.full(found.size, x), found, "", 2.0, colours[label])
    caption = f"{row.symbol}, {subsets} sub-protocols" + (f", in {unit}." if unit else ".")
    return Figure(chart.svg(), caption)


def draw_all(
    scores: Sequence[Score],
    rows: Mapping[str, MapRow],
    statistics: Sequence[str],
    colours: Mapping[str, str],
) -> Iterator[Figure]:
    """Yield figures of statistics, quantities and kinds of sub-protocols, of one region and reference."""
    for statistic in statistics:
        for quantity, row in rows.items():
            mine = [one for one in scores if one.quantity == quantity]
            for kind in (False, True):
                part = [one for one in mine if (one.subset == RANDOM) == kind]
                if part:
                    yield draw_boxes(part, row, statistic, colours, scale_of(row))
