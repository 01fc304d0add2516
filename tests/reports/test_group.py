"""Group tables and pages come from quality files alone, and follow what is there."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bids_qmri.catalogue import FORMER_NAMES
from bids_qmri.errors import NoInputError
from bids_qmri.reports import group_table
from bids_qmri.reports.group import write_group

from .conftest import WriteFit, vouch_for


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


def test_the_share_of_determined_voxels_is_in_the_table_and_on_the_page(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    known = np.ones(90, dtype=bool)
    known[11:90:2] = False
    write_fit(determined=known, images=False, Regions={"liver": {"t1_median": 0.5, "t1_determined": 0.25}})
    write_group(tmp_path)
    whole, liver = rows_of(tmp_path / "group_vfa.tsv")
    assert float(whole["t1_determined"]) == pytest.approx(39 / 79)
    assert float(liver["t1_determined"]) == 0.25
    page = (tmp_path / "group_vfa.html").read_text(encoding="utf-8")
    assert "T1 determined" in page
    explained = json.loads((tmp_path / "group_vfa.json").read_text())["t1_determined"]["Description"]
    assert "at most 0.5 of that of a guess" in explained


def test_numbers_keep_their_precision_and_missing_ones_are_n_a(tmp_path: Path, write_fit: WriteFit) -> None:
    quality = write_fit(images=False)
    write_group(tmp_path)
    metrics = json.loads(quality.read_text())["Metrics"]
    row = rows_of(tmp_path / "group_vfa.tsv")[0]
    assert float(row["t1_median"]) == metrics["t1_median"]
    assert row["n_voxels"] == str(metrics["n_voxels"])
    assert "m0_sd_median" not in row


def test_regions_have_rows_of_their_own(tmp_path: Path, write_fit: WriteFit) -> None:
    write_fit(images=False, Regions={"liver": {"t1_median": 0.8}, "a\tb\n": {"t1_median": None}, "odd": 3})
    write_group(tmp_path)
    rows = rows_of(tmp_path / "group_vfa.tsv")
    assert [row["region"] for row in rows] == ["mask", "a b", "liver", "odd"]
    assert [row["t1_median"] for row in rows[1:]] == ["n/a", "0.8", "n/a"]


@pytest.mark.parametrize("value", ["1\t2\n<b>", True, [1], {"a": 1}, 10**400, float("nan"), float("inf")])
def test_what_is_no_number_counts_as_missing(tmp_path: Path, write_fit: WriteFit, value: object) -> None:
    write_fit({"sub": "01"}, images=False)
    path = write_fit({"sub": "02"}, images=False)
    path.write_text(json.dumps({"Metrics": {"t1_median": value, "evil<b>": 1}}))
    vouch_for(tmp_path, "02")
    write_group(tmp_path)
    row = rows_of(tmp_path / "group_vfa.tsv")[1]
    assert row["t1_median"] == "n/a"
    assert "evil<b>" not in row


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


def test_new_participants_are_appended_changed_ones_replaced_and_removed_ones_leave(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    write_fit({"sub": "01"}, images=False)
    write_fit({"sub": "02"}, images=False)
    write_group(tmp_path)
    before = {row["participant_id"]: row for row in rows_of(tmp_path / "group_vfa.tsv")}
    shutil.rmtree(tmp_path / "sub-01")
    write_fit({"sub": "02"}, images=False, scale=2.0)
    write_fit({"sub": "03"}, images=False)
    write_group(tmp_path)
    after = {row["participant_id"]: row for row in rows_of(tmp_path / "group_vfa.tsv")}
    assert list(after) == ["sub-02", "sub-03"]
    assert float(after["sub-02"]["t1_median"]) == 2 * float(before["sub-02"]["t1_median"])


def test_tables_and_pages_of_models_that_nobody_has_any_more_are_removed(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    write_fit(images=False)
    quality = write_fit(model="ivim", images=False)
    write_group(tmp_path)
    quality.unlink()
    vouch_for(tmp_path, "01")
    for former in FORMER_NAMES:
        (tmp_path / f"group_{former}.tsv").write_text("participant_id\n")
    write_group(tmp_path)
    assert {path.name for path in tmp_path.glob("group_*")} == {
        "group_vfa.tsv",
        "group_vfa.json",
        "group_vfa.html",
    }


def test_outliers_are_named_in_the_table(tmp_path: Path, write_fit: WriteFit) -> None:
    for index in range(8):
        write_fit({"sub": f"0{index}"}, images=False, scale=1 + index / 100)
    write_fit({"sub": "odd"}, images=False, scale=5)
    write_group(tmp_path)
    flags = {row["participant_id"]: row["outlier_in"] for row in rows_of(tmp_path / "group_vfa.tsv")}
    assert flags.pop("sub-odd") == "t1_median,m0_median,rmse_median"
    assert set(flags.values()) == {"none"}


def test_without_pyarrow_there_is_no_parquet_and_none_of_an_earlier_call(
    tmp_path: Path, write_fit: WriteFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    write_fit(images=False)
    (tmp_path / "group_vfa.parquet").write_bytes(b"old")
    monkeypatch.setattr(group_table, "import_module", missing)
    write_group(tmp_path)
    assert not (tmp_path / "group_vfa.parquet").exists()


def test_with_pyarrow_the_same_table_is_written_as_parquet(tmp_path: Path, write_fit: WriteFit) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_fit(images=False)
    write_group(tmp_path)
    table = parquet.read_table(tmp_path / "group_vfa.parquet").to_pydict()
    [row] = rows_of(tmp_path / "group_vfa.tsv")
    assert list(table) == list(row)
    assert table["t1_median"] == [float(row["t1_median"])]
    assert table["ses"] == [None]


def test_nobody_with_results_is_an_error_of_its_own(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NoInputError, match="participant level first"):
            write_group(folder)


def test_the_group_level_cites_what_all_participants_were_fitted_with(
    tmp_path: Path, write_fit: WriteFit
) -> None:
    write_fit({"sub": "01"}, images=False)
    write_fit({"sub": "02"}, model="ivim", label="mle", images=False)
    write_group(tmp_path)
    text = (tmp_path / "logs/CITATION.md").read_text()
    assert "flip angles" in text
    assert "intravoxel" in text
