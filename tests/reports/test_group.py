"""Group tables and pages come from quality files alone."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from bids_qmri.errors import NoInputError
from bids_qmri.reports.group import write_group
from bids_qmri.reports.strip import robust_outliers

from .conftest import WriteFit


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_one_row_per_acquisition_and_estimator_in_the_order_of_names(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    for entities in ({"sub": "02"}, {"sub": "01", "ses": "b"}, {"sub": "01", "ses": "a", "run": "1"}):
        write_fit(entities, images=False)
    write_fit({"sub": "02"}, label="mle", images=False)
    write_group(tmp_path)
    found = [
        (row["participant_id"], row["ses"], row["run"], row["estimator"])
        for row in rows_of(tmp_path / "group_vfa.tsv")
    ]
    assert found == [
        ("sub-01", "a", "1", "lsq"),
        ("sub-01", "b", "n/a", "lsq"),
        ("sub-02", "n/a", "n/a", "lsq"),
        ("sub-02", "n/a", "n/a", "mle"),
    ]


def test_every_entity_that_tells_acquisitions_apart_has_a_column(tmp_path: Path, write_fit: WriteFit) -> None:
    for space in ("T1w", "MNI"):
        write_fit({"sub": "01", "space": space, "task": "rest", "chunk": "1", "res": "2"}, images=False)
    write_group(tmp_path)
    rows = rows_of(tmp_path / "group_vfa.tsv")
    assert sorted(row["space"] for row in rows) == ["MNI", "T1w"]
    assert {(row["task"], row["chunk"], row["res"]) for row in rows} == {("rest", "1", "2")}


def test_numbers_keep_their_precision_and_missing_ones_are_n_a(tmp_path: Path, write_fit: WriteFit) -> None:
    quality = write_fit(images=False)
    write_group(tmp_path)
    metrics = json.loads(quality.read_text())["Metrics"]
    row = rows_of(tmp_path / "group_vfa.tsv")[0]
    assert float(row["t1_median"]) == metrics["t1_median"]
    assert row["m0_sd_median"] == "n/a"


def test_text_where_a_number_is_due_counts_as_missing(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(images=False, Metrics={"t1_median": "1\t2\n<b>", "n_voxels": True})
    write_group(tmp_path)
    row = rows_of(tmp_path / "group_vfa.tsv")[0]
    assert (row["t1_median"], row["n_voxels"]) == ("n/a", "n/a")


def test_the_dictionary_explains_every_column(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(images=False)
    paths = write_group(tmp_path)
    assert [path.name for path in paths[:3]] == ["group_vfa.tsv", "group_vfa.json", "group_vfa.html"]
    dictionary = json.loads(paths[1].read_text())
    assert set(rows_of(paths[0])[0]) == set(dictionary)
    assert dictionary["t1_median"]["Units"] == "s"


def test_every_model_has_its_own_table(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(images=False)
    write_fit(model="ivim", images=False)
    names = {path.name for path in write_group(tmp_path)}
    assert {"group_vfa.tsv", "group_ivim.tsv"} <= names


def test_images_and_raw_data_are_not_needed_and_the_bytes_are_stable(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    quality = write_fit()
    first = [path.read_bytes() for path in write_group(tmp_path)]
    for path in quality.parent.glob("*.nii.gz"):
        path.unlink()
    assert [path.read_bytes() for path in write_group(tmp_path)] == first


def test_points_lead_to_pages_and_outliers_are_ringed_and_named(tmp_path: Path, write_fit: WriteFit) -> None:
    for index in range(8):
        write_fit({"sub": f"0{index}"}, images=False, scale=1 + index / 100)
    write_fit({"sub": "odd"}, images=False, scale=5)
    write_group(tmp_path)
    text = (tmp_path / "group_vfa.html").read_text()
    assert '<a href="sub-odd.html"><circle class="outlier"' in text
    assert '<a href="sub-03.html"><circle class="point"' in text
    assert "T1, M0" in text
    assert "<script" not in text


def test_a_removed_participant_leaves_the_table(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit({"sub": "01"}, images=False)
    write_fit({"sub": "02"}, images=False)
    write_group(tmp_path)
    shutil.rmtree(tmp_path / "sub-01")
    write_group(tmp_path)
    assert [row["participant_id"] for row in rows_of(tmp_path / "group_vfa.tsv")] == ["sub-02"]


def test_nobody_with_results_is_an_error_of_its_own(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NoInputError, match="participant level first"):
            write_group(folder)


def test_outliers_are_judged_by_median_and_mad() -> None:
    values = {i: float(i) for i in range(9)} | {9: 100.0}
    assert robust_outliers(values, 3.5) == {9}
    assert robust_outliers({0: 1.0, 1: 99.0}, 3.5) == set()
    assert robust_outliers(dict.fromkeys(range(8), 1.0) | {8: 2.0}, 3.5) == set()


def test_the_group_level_cites_what_all_participants_were_fitted_with(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    write_fit({"sub": "01"}, images=False)
    write_fit({"sub": "02"}, model="ivim", label="mle", images=False)
    write_group(tmp_path)
    text = (tmp_path / "logs/CITATION.md").read_text()
    assert "flip angles" in text
    assert "intravoxel" in text
