"""Readers are warned of what maps do not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bids_qmri.outputs.tables import output_table
from bids_qmri.reports.cautions import find_cautions, warnings_of
from bids_qmri.reports.records import Record


def texts(model: str = "ivim", estimator: str = "ncde", **fields: Any) -> list[str]:
    record = Record(Path("out"), {"sub": "01"}, output_table(model), estimator, fields)
    return [caution.text for caution in find_cautions([record])]


def test_a_sound_fit_has_no_warning() -> None:
    assert texts(Metrics={"fraction_ok": 0.9, "fraction_at_bound": 0.05, "dstar_determined": 0.95}) == []


def test_a_parameter_that_the_data_determine_in_few_voxels_is_named() -> None:
    (text,) = texts(Metrics={"dstar_determined": 0.2, "d_determined": 1.0, "f_determined": None})
    assert text.startswith("D* is hardly determined by these data: in 80% of the voxels")
    assert "more than 0.5 of that of a guess within the default limits" in text


@pytest.mark.parametrize("seen", [{}, {"dstar_determined": "0.1"}, {"dstar_determined": [0.1]}])
def test_what_nobody_can_tell_warns_of_nothing(seen: Any) -> None:
    assert texts(Metrics=seen) == []


def test_voxels_in_which_nothing_is_determined_were_estimated() -> None:
    metrics = {"fraction_ok": 0.2, "fraction_at_bound": 0.1, "fraction_undetermined": 0.6}
    assert not any("were estimated" in text for text in texts(Metrics=metrics))


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


@pytest.mark.parametrize(
    "note",
    [
        "no B1+ map for these images: nominal flip angles are used",
        "noise floor 2 by air, but 4 by patches of tissue: tissue moves; state it with --noise",
        "22 of 25 images moved by more than a voxel; fix: align them with --align",
    ],
)
def test_doubts_are_warnings_and_what_was_done_is_none(note: str) -> None:
    done = "sub-01_TB1map.nii.gz: median 104 inside the mask, read as percent (Units)"
    record = Record(Path("out"), {"sub": "01"}, output_table("vfa"), "lsq", {"Notes": [note, done]})
    assert [caution.text for caution in warnings_of([record])] == [note]


def test_what_the_log_warned_of_is_a_warning_whatever_its_words_and_said_once() -> None:
    note = "frames taken 5 s apart: AcquisitionDuration divided by 50 frames"
    mild = Record(Path("out"), {"sub": "01"}, output_table("etofts"), "lsq", {"Notes": [note]})
    warned = Record(
        Path("out"), {"sub": "01"}, output_table("etofts"), "mle", {"Notes": [note], "Warnings": [note]}
    )
    assert warnings_of([mild]) == []
    assert [(caution.text, caution.grave) for caution in find_cautions([mild, warned])] == [(note, True)]
