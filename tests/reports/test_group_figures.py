"""Static distributions: every point on the axis, in its lane, and where it was before."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_qmri.outputs.tables import output_table
from bids_qmri.reports.group_figures import Figure, draw_distribution, round_numbers
from bids_qmri.reports.group_metrics import shown_metrics
from bids_qmri.reports.group_table import TableBuilder
from bids_qmri.reports.records import Record

VALUES = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=20)


def draw(values: list[float | None], labels: tuple[str, ...] = ("lsq",)) -> Figure:
    """Draw the medians of T1 of participants 00, 01, ... with these estimators in turn."""
    table = output_table("vfa")
    builder = TableBuilder(table)
    for index, value in enumerate(values):
        fields = {"Metrics": {"t1_median": value}, "Regions": {"liver": {"t1_median": 1e9}}}
        label = labels[index % len(labels)]
        builder.add(Record(Path("out"), {"sub": f"{index:02d}"}, table, label, fields))
    group = builder.finish()
    return draw_distribution(group, shown_metrics(group)[0])


@given(VALUES)
def test_points_and_ticks_stay_inside_the_figure(values: list[float]) -> None:
    drawn = draw(list(values))
    places = [point.x for lane in drawn.lanes for point in lane.points] + [tick.x for tick in drawn.ticks]
    assert all(16 <= place <= 344 for place in places)


@given(VALUES)
def test_points_stand_in_the_order_of_their_values(values: list[float]) -> None:
    points = {point.href: point.x for point in draw(list(values)).lanes[0].points}
    order = sorted(range(len(values)), key=values.__getitem__)
    by_value = [points[f"sub-{index:02d}.html"] for index in order]
    assert by_value == sorted(by_value)


@given(st.floats(1e-6, 1e6), st.floats(1e-3, 1))
def test_ticks_are_few_and_evenly_spaced(low: float, width: float) -> None:
    ticks = round_numbers(low, low * (1 + width))
    gaps = np.diff(ticks)
    assert 1 <= len(ticks) <= 6
    assert gaps.size == 0 or np.ptp(gaps) < 1e-6 * gaps.max()


def test_every_estimator_has_a_lane_with_the_percentiles_of_its_fits() -> None:
    drawn = draw([float(value) for i in range(7) for value in (i, 10 * i)], ("lsq", "mle"))
    assert [lane.label for lane in drawn.lanes] == ["lsq (7)", "mle (7)"]
    for lane in drawn.lanes:
        assert lane.places[2] == sorted(point.x for point in lane.points)[3]
        assert all(one <= other for one, other in pairwise(lane.places))


def test_too_few_fits_have_points_but_no_box() -> None:
    lane = draw([1.0, 2.0]).lanes[0]
    assert (len(lane.points), lane.places) == (2, ())


def test_fits_that_hardly_differ_stand_close_together() -> None:
    points = draw([1.0, 1.001]).lanes[0].points
    assert abs(points[0].x - points[1].x) < 10


def test_missing_values_and_regions_have_no_point() -> None:
    drawn = draw([1.0, None, 2.0])
    assert len(drawn.lanes[0].points) == 2
    assert "2 fits" in drawn.summary


def test_a_point_keeps_its_height_when_participants_are_added() -> None:
    alone, joined = draw([1.0]).lanes[0].points, draw([1.0, 2.0, 3.0]).lanes[0].points
    assert alone[0].y == joined[0].y


def test_rings_are_drawn_last_so_that_nothing_hides_them() -> None:
    kinds = [point.kind for point in draw([99.0, 1.0, 2.0, 3.0, 4.0, 5.0]).lanes[0].points]
    assert kinds == ["point"] * 5 + ["outlier"]


@pytest.mark.parametrize(("value", "text"), [(1.23456, "sub-00: 1.235 s"), (1.2e-3, "sub-00: 1.2 10⁻³ s")])
def test_points_say_who_and_how_much(value: float, text: str) -> None:
    point = draw([value]).lanes[0].points[0]
    assert (point.text, point.href) == (text, "sub-00.html")
