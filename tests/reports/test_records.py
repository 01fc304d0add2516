"""Quality files are found, read defensively, and lead back to the maps."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_qmri.reports.records import find_records

from .conftest import WriteFit


def test_fits_are_found_with_and_without_sessions_in_every_datatype(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    write_fit({"sub": "01"}, model="vfa", images=False)
    write_fit({"sub": "01", "ses": "x"}, model="ivim", images=False)
    write_fit({"sub": "01"}, model="etofts", images=False)
    found = {(record.table.model, record.acquisition) for record in find_records(tmp_path)}
    assert found == {("vfa", "sub-01"), ("ivim", "sub-01_ses-x"), ("etofts", "sub-01")}


def test_one_participant_is_not_mixed_with_another_of_similar_name(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    write_fit({"sub": "1"}, images=False)
    write_fit({"sub": "10"}, images=False)
    assert [record.participant for record in find_records(tmp_path, "1")] == ["1"]
    assert find_records(tmp_path, "2") == []


def test_a_record_leads_to_its_maps(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit({"sub": "01", "acq": "hi", "run": "2"}, label="mle")
    record = find_records(tmp_path)[0]
    estimates = [record.table.estimate(name) for name in ("t1", "m0")]
    for row in (*estimates, record.table.rmse, record.table.status):
        assert record.path(row, ".nii.gz").is_file()
    assert (record.estimator, record.page) == ("mle", "sub-01.html")


@pytest.mark.parametrize(("notes", "read"), [(["a", 1], ("a", "1")), ("a", ("a",)), (None, ("None",))])
def test_notes_are_read_as_text(
    tmp_path: Path, write_fit: WriteFit, notes: object, read: tuple[str, ...]
) -> None:
    write_fit(images=False, Notes=notes)
    assert find_records(tmp_path)[0].notes == read


@pytest.mark.parametrize("value", ["3", True, [1], {"a": 1}, None])
def test_what_is_no_number_is_missing(tmp_path: Path, write_fit: WriteFit, value: object) -> None:
    write_fit(images=False, Metrics={"t1_median": value, "m0_median": 2})
    assert find_records(tmp_path)[0].metrics == {"t1_median": None, "m0_median": 2}


@pytest.mark.parametrize("metrics", [None, "x", [1]])
def test_metrics_of_another_kind_are_none_at_all(
    tmp_path: Path, write_fit: WriteFit, metrics: object
) -> None:
    write_fit(images=False, Metrics=metrics)
    assert find_records(tmp_path)[0].metrics == {}


def test_files_that_are_still_being_written_are_not_seen(tmp_path: Path, write_fit: WriteFit) -> None:
    quality = write_fit(images=False)
    (quality.parent / f".{quality.name}.1-abc.part").write_text("{")
    assert len(find_records(tmp_path)) == 1
