"""Sidecars become tables that people can read."""

from __future__ import annotations

import pytest

from bids_qmri.reports.panels import draw_motion, draw_protocol
from bids_qmri.reports.protocol import describe_choices, describe_protocol, protocol_line


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        ({"RepetitionTimeExcitation": 0.015}, ("Repetition time", "15 ms")),
        ({"FlipAngle": [3, 20]}, ("Flip angles", "3, 20 degrees")),
        ({"FlipAngle": 12.5}, ("Flip angles", "12.5 degrees")),
        ({"MagneticFieldStrength": 3}, ("Field strength", "3 T")),
        ({"FrameTimes": [float(t) for t in range(30)]}, ("Frame times", "30 values from 0 to 29 s")),
        ({"EchoTime": "x"}, ("Echo time", "x")),
        ({"EchoTime": [0.01, 0.02]}, ("Echo time", "10, 20 ms")),
        ({"SpinLockTime": [0.01, 0.02], "Sources": ["a", "b"]}, ("Spin lock time", "0.01, 0.02")),
    ],
)
def test_values_are_written_in_the_units_people_use(fields: dict[str, object], row: tuple[str, str]) -> None:
    assert describe_protocol(fields) == (row,)


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"EchoTime": [0.01, 0.02, 0.04]}, "echo time (ms)"),
        ({"SpinLockTime": [0.01, 0.02]}, "spin lock time"),
        ({"EchoTime": 0.01, "FlipAngle": [3, 20], "RepetitionTimeExcitation": 0.01}, "flip angle (degrees)"),
        ({"BValues": [0, 1000], "BValueCounts": [1, 6], "EchoTime": 0.1}, "b-value (s/mm²)"),
    ],
)
def test_what_differs_between_images_is_drawn(fields: dict[str, object], label: str) -> None:
    assert f">{label}<" in str(draw_protocol(fields))


def test_nothing_is_drawn_of_what_is_the_same_in_all_images() -> None:
    assert draw_protocol({"EchoTime": 0.01, "Sources": ["a", "b"], "Notes": []}) is None


def test_weightings_within_jitter_are_one_group_but_small_steps_are_not() -> None:
    fields = {"BValues": [0, 10, 20, 994, 1000, 1006], "BValueCounts": [6, 1, 1, 2, 3, 4]}
    assert describe_protocol(fields) == (
        ("b-values (images)", "0 (6), 10 (1), 20 (1), 994 to 1006 (9) s/mm²"),
    )


def test_many_groups_are_shortened_and_odd_tables_left_out() -> None:
    many = [100.0 * 1.1**i for i in range(30)]
    assert "30 values" in describe_protocol({"BValues": many, "BValueCounts": [1] * 30})[0][1]
    assert describe_protocol({"BValues": [1], "BValueCounts": "x"}) == ()


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, ""),
        ({"Manufacturer": "A", "FrameTimes": [0.0]}, ""),
        (
            {"EchoTime": 0.07, "RepetitionTime": 5.0, "MagneticFieldStrength": 3},
            "3 T, TR 5 s, TE 70 ms",
        ),
        ({"BValues": [0, 10, 20], "BValueCounts": [1, 3, 3]}, "b 0 10 20 s/mm²"),
        ({"BValues": [0, 994, 1000, 1006], "BValueCounts": [6, 2, 3, 4]}, "b 0 1001 s/mm²"),
        (
            {"BValues": [0, 10, 20, 30, 50, 75, 100, 400, 800], "BValueCounts": [1] * 9},
            "b 0 10 20 … 800 s/mm² (9 values)",
        ),
        ({"InversionTimes": [0.05, 0.3, 2], "RepetitionTime": 2.5}, "TI 0.05 0.3 2 s, TR 2.5 s"),
        ({"FlipAngle": [2, 5, 10], "RepetitionTimeExcitation": 0.012}, "flip angles 2 5 10°, TR 12 ms"),
        ({"FlipAngle": 20, "FrameTimes": [0.0, 5.0, 10.0]}, "flip angle 20°, 3 frames 5 s apart"),
        ({"FrameTimes": [0.0, 5.0, 20.0]}, "3 frames in 20 s"),
        ({"Hematocrit": 0.42, "ValueOrigins": {"hematocrit": "default"}}, "haematocrit 0.42, assumed"),
        ({"Hematocrit": 0.4, "ValueOrigins": {"hematocrit": "command line"}}, "haematocrit 0.4"),
        ({"Hematocrit": 0.4, "ValueOrigins": {"hematocrit": "not used: x"}}, "haematocrit 0.4, not used"),
        ({"SpinLockTime": [0.01, 0.02]}, "spin lock time 0.01 0.02"),
        ({"EchoTime": "x"}, ""),
    ],
)
def test_the_line_of_a_protocol_names_every_number(fields: dict[str, object], line: str) -> None:
    assert protocol_line(fields) == line


def test_the_table_says_of_a_haematocrit_that_nobody_stated_that_it_is_assumed() -> None:
    fields = {"Hematocrit": 0.42, "ValueOrigins": {"hematocrit": "default"}}
    assert describe_protocol(fields) == (("Haematocrit", "0.42, assumed"),)


def test_choices_leave_out_identity_and_split_words() -> None:
    fields = {"Metrics": {"a": 1}, "NoiseLevel": None, "B1Corrected": True, "Bounds": {"t1": [0.1, 5]}}
    assert describe_choices(fields) == (
        ("B1 corrected", "yes"),
        ("Bounds", "t1: 0.1, 5"),
        ("Noise level", "n/a"),
    )


def test_the_plot_of_motion_counts_images_from_0_and_says_so() -> None:
    drawn = draw_motion({"Motion": {"Displacement": [0.0, 1.5, None, 2.5]}})
    assert drawn is not None
    assert "image, counted from 0" in str(drawn)
    assert "Images moved by up to 2.5 mm." in str(drawn)
