"""Readers are warned of what maps do not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bids_qmri.outputs.tables import output_table
from bids_qmri.reports.cautions import find_cautions
from bids_qmri.reports.records import Record


def texts(model: str = "ivim", estimator: str = "ncde", **fields: Any) -> list[str]:
    record = Record(Path("out"), {"sub": "01"}, output_table(model), estimator, fields)
    return [caution.text for caution in find_cautions([record])]


def test_a_sound_fit_has_no_warning() -> None:
    assert texts(Metrics={"fraction_ok": 0.9, "fraction_at_bound": 0.05, "dstar_sd_median": 0.005}) == []


def test_a_parameter_known_no_better_than_a_guess_is_named() -> None:
    bounds = {"dstar": [0.005, 0.2]}
    (text,) = texts(Metrics={"dstar_sd_median": 0.05, "d_sd_median": 1e-5}, Bounds=bounds)
    assert text.startswith("D* is hardly determined by these data: its standard deviation is 0.05 mm²/s")
    assert text.endswith("guess between its limits 0.0563 mm²/s")


@pytest.mark.parametrize("bounds", [{"dstar": [0, None]}, {"dstar": "x"}, {"dstar": [0.1, 0.1]}, "x", None])
def test_limits_that_say_nothing_warn_of_nothing(bounds: Any) -> None:
    assert not [text for text in texts(Metrics={"s0_sd_median": 1e9}, Bounds=bounds) if "S0" in text]


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"fraction_ok": 0.2, "fraction_at_bound": 0.1}, "only 30% of the voxels"),
        ({"fraction_ok": 0.1, "fraction_at_bound": 0.9}, "in 90% of the voxels"),
        ({"fraction_out_of_range": 0.2}, "20% of the voxels lie outside of what the network"),
    ],
)
def test_fits_that_mostly_fail_are_named(metrics: dict[str, float], words: str) -> None:
    assert any(words in text for text in texts(Metrics=metrics))


def test_notes_of_several_fits_are_said_once() -> None:
    records = [
        Record(Path("out"), {"sub": "01"}, output_table("vfa"), label, {"Notes": ["no B1 map"]})
        for label in ("lsq", "ncde")
    ]
    assert [caution.text for caution in find_cautions(records)] == ["no B1 map"]
