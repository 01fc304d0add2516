"""The table and the record of a fit: complete, explained, and true to the images."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synth
from runs import run_fit

from bids_qmri.bids.acquisition import ReadOptions
from bids_qmri.outputs.tables import output_table

from .conftest import PlanJobs

MAKERS = {"vfa": synth.add_vfa, "ivim": synth.add_ivim, "tensor": synth.add_tensor}


def fit(jobs: PlanJobs, tmp_path: Path, **choices: object) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Run the planned jobs; return rows of the only table and the record beside it."""
    assert {run_fit(job).error for job in jobs(**choices)} == {""}
    [table] = (tmp_path / "out").rglob("*_qc.tsv")
    with table.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return rows, json.loads(table.with_suffix(".json").read_text())


@pytest.mark.parametrize("family", MAKERS)
def test_every_column_is_explained_and_every_cell_is_a_number_or_n_a(
    bids: Path, jobs: PlanJobs, tmp_path: Path, family: str
) -> None:
    MAKERS[family](bids)
    [row], record = fit(jobs, tmp_path)
    assert row.pop("region") == "mask"
    for name, cell in row.items():
        assert record[name]["Description"].endswith(".")
        assert record[name]["Units"]
        value = record["Metrics"].get(name)
        assert cell == ("n/a" if value is None else repr(value))
    assert set(record["Metrics"]) == set(row)


def test_images_of_diffusion_tell_noise_decay_and_agreement(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    synth.add_tensor(bids, bvals=(0, 0, 0, *([1000] * 12)))
    [row], record = fit(jobs, tmp_path, models=("dti",))
    assert int(row["shell_decay_rises"]) == 0
    assert float(row["shell_decay_max_step"]) < 0
    assert 0 < float(row["shell_correlation_min"]) <= float(row["shell_correlation_median"]) <= 1
    assert record["Shells"]["Images"] == [3, 12]


def test_images_at_b_0_and_5_are_repetitions_and_no_shells(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    synth.add_tensor(bids, bvals=(0, 5, 5, *([1000] * 12)))
    _, record = fit(jobs, tmp_path, models=("dti",))
    assert record["Shells"]["BValues"] == [0, 1000]
    assert record["Shells"]["Images"] == [3, 12]
    assert record["Metrics"]["shell_decay_rises"] == 0


def test_what_a_family_does_not_have_is_n_a(bids: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    synth.add_vfa(bids)
    [row], record = fit(jobs, tmp_path)
    for name in ("shell_decay_rises", "shell_correlation_min", "b1_coverage", "sigma_repeats"):
        assert row[name] == "n/a"
    assert "Shells" not in record


def test_the_share_of_the_mask_with_a_known_transmit_field_is_told(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    b1 = synth.ramp(0.8, 1.2)
    synth.add_vfa(bids, b1=b1)
    b1[0, 0] = 0
    synth.write_image(bids / "sub-01" / "fmap" / "sub-01_TB1map.nii.gz", 100 * b1)
    [row], _ = fit(jobs, tmp_path)
    assert float(row["b1_coverage"]) == pytest.approx(1 - 2 / 24)


def test_regions_have_rows_of_their_own(bids: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    truth = synth.add_vfa(bids)
    labels = np.zeros(synth.SHAPE)
    labels[:2], labels[2] = 1, 4
    regions = synth.new_dataset(tmp_path / "atlas", "derivative")
    synth.write_image(regions / "sub-01" / "anat" / "sub-01_dseg.nii.gz", labels)
    (regions / "sub-01" / "anat" / "sub-01_dseg.tsv").write_text("index\tname\n1\twhite\n")
    rows, record = fit(jobs, tmp_path, derivatives={"atlas": regions})
    assert [row["region"] for row in rows] == ["mask", "label 4", "white"]
    for row, label in zip(rows[1:], (4, 1), strict=True):
        assert float(row["t1_median"]) == pytest.approx(np.median(truth["t1"][labels == label]), rel=1e-4)
        assert row["snr"] == "n/a"
    assert record["Segmentation"].endswith("sub-01_dseg.nii.gz")


def test_an_acquisition_without_regions_has_one_row(bids: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    synth.add_vfa(bids)
    rows, record = fit(jobs, tmp_path)
    assert (len(rows), record["Regions"]) == (1, {})
    assert ReadOptions().derivatives == {}
    assert output_table("vfa").estimate("t1").unit == record["t1_median"]["Units"]
