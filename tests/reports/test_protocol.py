"""Sidecars become tables that people can read."""

from __future__ import annotations

import pytest

from bids_qmri.reports.protocol import describe_choices, describe_protocol


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        ({"RepetitionTimeExcitation": 0.015}, ("Repetition time", "15 ms")),
        ({"FlipAngle": [3, 20]}, ("Flip angles", "3, 20 degrees")),
        ({"FlipAngle": 12.5}, ("Flip angles", "12.5 degrees")),
        ({"MagneticFieldStrength": 3}, ("Field strength", "3 T")),
        ({"FrameTimes": [float(t) for t in range(30)]}, ("Frame times", "30 values from 0 to 29 s")),
        ({"EchoTime": "x"}, ("Echo time", "x")),
    ],
)
def test_values_are_written_in_the_units_people_use(fields: dict[str, object], row: tuple[str, str]) -> None:
    assert describe_protocol(fields) == (row,)


def test_weightings_within_jitter_are_one_group_but_small_steps_are_not() -> None:
    fields = {"BValues": [0, 10, 20, 994, 1000, 1006], "BValueCounts": [6, 1, 1, 2, 3, 4]}
    assert describe_protocol(fields) == (
        ("b-values (images)", "0 (6), 10 (1), 20 (1), 994 to 1006 (9) s/mm²"),
    )


def test_many_groups_are_shortened_and_odd_tables_left_out() -> None:
    many = [100.0 * 1.1**i for i in range(30)]
    assert "30 values" in describe_protocol({"BValues": many, "BValueCounts": [1] * 30})[0][1]
    assert describe_protocol({"BValues": [1], "BValueCounts": "x"}) == ()


def test_choices_leave_out_identity_and_split_words() -> None:
    fields = {"Metrics": {"a": 1}, "NoiseLevel": None, "B1Corrected": True, "Bounds": {"t1": [0.1, 5]}}
    assert describe_choices(fields) == (
        ("B1 corrected", "yes"),
        ("Bounds", "t1: 0.1, 5"),
        ("Noise level", "n/a"),
    )
