"""Strip plots: every point on the axis, in its lane, and where it was before."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_qmri.outputs.tables import output_table
from bids_qmri.reports.records import Record
from bids_qmri.reports.strip import Plot, draw_strips, robust_outliers

T1 = output_table("vfa").estimate("t1")
VALUES = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=20)


def records(count: int, labels: tuple[str, ...] = ("lsq",)) -> list[Record]:
    table = output_table("vfa")
    return [
        Record(Path("out"), {"sub": f"{index:02d}"}, table, labels[index % len(labels)], {})
        for index in range(count)
    ]


def plot(
    values: list[float | None], labels: tuple[str, ...] = ("lsq",), outliers: set[int] | None = None
) -> Plot:
    return draw_strips(T1, records(len(values), labels), dict(enumerate(values)), outliers or set())


@given(VALUES)
def test_points_and_ticks_stay_inside_the_figure(values: list[float]) -> None:
    drawn = plot(list(values))
    places = [point.x for lane in drawn.lanes for point in lane.points] + [tick.x for tick in drawn.ticks]
    assert all(90 <= place <= 350 for place in places)


@given(VALUES)
def test_points_stand_in_the_order_of_their_values(values: list[float]) -> None:
    points = plot(list(values)).lanes[0].points
    by_value = [points[i].x for i in sorted(range(len(values)), key=values.__getitem__)]
    assert by_value == sorted(by_value)


@given(st.floats(1e-6, 1e6), st.floats(1e-3, 1))
def test_ticks_are_few_and_evenly_spaced(low: float, width: float) -> None:
    ticks = [tick.x for tick in plot([low, low * (1 + width)]).ticks]
    gaps = {round(b - a) for a, b in pairwise(ticks)}
    assert 1 <= len(ticks) <= 6
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


def test_every_estimator_has_a_lane_and_the_line_is_its_median() -> None:
    drawn = plot([1.0, 10.0, 2.0, 20.0, 3.0, 30.0], ("lsq", "mle"))
    assert [lane.label for lane in drawn.lanes] == ["lsq", "mle"]
    for lane in drawn.lanes:
        assert lane.middle == sorted(point.x for point in lane.points)[1]


def test_missing_values_have_no_point() -> None:
    drawn = plot([1.0, None, 2.0])
    assert len(drawn.lanes[0].points) == 2
    assert "2 fits" in drawn.summary


def test_nothing_known_is_an_empty_plot() -> None:
    assert plot([None]).lanes == ()


def test_a_point_keeps_its_height_when_participants_are_added() -> None:
    alone, joined = plot([1.0]).lanes[0].points, plot([1.0, 2.0, 3.0]).lanes[0].points
    assert alone[0].y == joined[0].y


def test_rings_are_drawn_last_so_that_nothing_hides_them() -> None:
    kinds = [point.kind for point in plot([9.0, 1.0, 2.0], outliers={0}).lanes[0].points]
    assert kinds == ["point", "point", "outlier"]


def test_points_say_who_and_how_much() -> None:
    point = plot([1.23456]).lanes[0].points[0]
    assert point.text == "sub-00: 1.235 s"
    assert point.href == "sub-00.html"


@given(st.dictionaries(st.integers(), st.floats(-100, 100), min_size=3), st.floats(1, 10))
def test_outliers_do_not_depend_on_the_unit(values: dict[int, float], limit: float) -> None:
    found = robust_outliers(values, limit)
    assert robust_outliers({key: value * 2 for key, value in values.items()}, limit) == found


@pytest.mark.parametrize("limit", [2.0, 3.5])
def test_less_than_half_of_all_values_can_be_outliers(limit: float) -> None:
    values = {i: float(i**3) for i in range(21)}
    assert len(robust_outliers(values, limit)) <= 10
