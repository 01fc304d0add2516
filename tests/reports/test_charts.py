"""Diagrams stay within their frame, whatever the data, and no text of theirs is markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_qmri.reports.charts import HEIGHT, WIDTH, Chart, legend, round_ticks, span, tick_text

EVIL = "<script>alert(1)</script>\"'"
NUMBERS = st.floats(-1e9, 1e9, allow_subnormal=False)


def chart(x: tuple[float, float] = (0, 1), y: tuple[float, float] = (0, 1), **changes: object) -> Chart:
    fields = {"x_label": "x", "y_label": "y", "summary": "s"} | changes
    return Chart(x, y, **fields)  # type: ignore[arg-type]


def coordinates(svg: str) -> list[float]:
    text = " ".join(re.findall(r'points="([^"]*)"', svg))
    return [float(part) for pair in text.split() for part in pair.split(",")]


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=12))
def test_lines_stay_within_the_frame(points: list[tuple[float, float]]) -> None:
    x, y = (np.array(part) for part in zip(*points, strict=True))
    drawn = chart(span(x[:1]), span(y[:1]))
    drawn.line(x, y, "curve")
    drawn.points(x, y, "dot")
    places = coordinates(drawn.svg())
    assert all(0 <= place <= max(WIDTH, HEIGHT) for place in places)
    assert ET.fromstring(drawn.svg()).tag == "svg"


def test_values_that_are_not_finite_interrupt_a_line() -> None:
    drawn = chart()
    drawn.line([0, 0.2, 0.4, 0.6, 0.8], [0, 1, np.nan, 1, 0], "curve")
    assert drawn.svg().count("<polyline") == 2


def test_no_text_is_markup() -> None:
    drawn = chart(x_label=EVIL, y_label=EVIL, summary=EVIL)
    svg = drawn.svg() + legend([(EVIL, "red")])
    assert "<script" not in svg
    assert ET.fromstring(str(drawn.svg())).attrib["aria-label"] == EVIL


@given(NUMBERS, st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_within_the_limits(low: float, width: float) -> None:
    high = low + max(width, 1e-6 * abs(low))
    ticks = round_ticks(low, high)
    assert 3 <= len(ticks) <= 7
    slack = 1e-6 * (high - low) + 1e-9 * abs(low)
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    gaps = [b - a for a, b in pairwise(ticks)]
    assert not gaps or max(gaps) == pytest.approx(min(gaps), rel=1e-3)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1200.0, "1200"), (0.0005, "5e-4"), (-0.25, "-0.25"), (2.5e6, "2.5e6")]
)
def test_numbers_of_ticks_are_short(value: float, text: str) -> None:
    assert tick_text(value) == text


def test_limits_hold_all_finite_values() -> None:
    low, high = span([1.0, np.nan], [3.0, np.inf])
    assert low < 1
    assert 3 < high < 4
    assert span([np.nan]) == (0.0, 1.0)
