"""Estimators are compared with the reference fits that are there, and their quality files say so."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth
from runs import run_fit

from bids_qmri.interfaces.agreement import compare_estimators

from .conftest import PlanJobs


@pytest.fixture
def output(bids: Path, jobs: PlanJobs, tmp_path: Path) -> Path:
    """Return a dataset with two fits of one participant."""
    synth.add_vfa(bids, flips=(3, 7, 12, 20))
    assert {run_fit(job).error for job in jobs(estimators=("lsq", "bayes"))} == {""}
    return tmp_path / "out"


def metrics(output: Path, label: str) -> dict[str, float | None]:
    [path] = output.rglob(f"*desc-{label}_qc.json")
    found: dict[str, float | None] = json.loads(path.read_text())["Metrics"]
    return found


def test_what_is_no_reference_is_compared_with_what_is(output: Path) -> None:
    compare_estimators(output, "01")
    found = metrics(output, "bayes")
    low, bias, high = (found[f"t1_{key}_lsq"] for key in ("loa_low", "bias", "loa_high"))
    assert None not in (low, bias, high)
    assert -0.01 < (low or 0.0) <= (bias or 0.0) <= (high or 0.0) < 0.01
    assert not [name for name in metrics(output, "lsq") if "bias" in name]


def test_the_table_says_so_too_and_n_a_of_a_reference_that_is_missing(output: Path) -> None:
    compare_estimators(output, "01")
    [path] = output.rglob("*desc-bayes_qc.tsv")
    with path.open() as stream:
        [row] = csv.DictReader(stream, delimiter="\t")
    assert float(row["t1_bias_lsq"]) == metrics(output, "bayes")["t1_bias_lsq"]
    assert row["t1_bias_mle"] == "n/a"


def test_a_second_comparison_changes_nothing(output: Path) -> None:
    compare_estimators(output, "01")
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*_qc.*")}
    compare_estimators(output, "01")
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*_qc.*")} == before


def test_agreement_with_a_fit_that_is_gone_is_forgotten(output: Path) -> None:
    compare_estimators(output, "01")
    for path in output.rglob("*desc-lsq_qc.*"):
        path.unlink()
    compare_estimators(output, "01")
    assert not [name for name in metrics(output, "bayes") if "bias" in name]


def test_estimators_have_medians_of_the_same_voxels(output: Path) -> None:
    compare_estimators(output, "01")
    ours, theirs = metrics(output, "lsq"), metrics(output, "bayes")
    assert ours["t1_common_voxels"] == theirs["t1_common_voxels"]
    fewest = min(
        (one["t1_determined"] or 0.0)
        * sum(one[f"n_{word}"] or 0.0 for word in ("ok", "at_bound", "undetermined"))
        for one in (ours, theirs)
    )
    assert 0 < (ours["t1_common_voxels"] or 0) <= round(fewest)
    assert abs((ours["t1_common_median"] or 0) - (theirs["t1_common_median"] or 1)) < 0.01


def test_a_fit_that_is_alone_has_nothing_in_common(output: Path) -> None:
    compare_estimators(output, "01")
    for path in output.rglob("*desc-bayes_qc.*"):
        path.unlink()
    compare_estimators(output, "01")
    assert not [name for name in metrics(output, "lsq") if "common" in name]


def test_regions_have_medians_of_the_same_voxels_too_however_their_axes_run(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    truth = synth.add_vfa(bids, flips=(3, 7, 12, 20))
    labels = np.zeros(synth.SHAPE)
    labels[:2], labels[2] = 1, 4
    atlas = synth.new_dataset(tmp_path / "atlas", "derivative")
    path = atlas / "sub-01" / "anat" / "sub-01_dseg.nii.gz"
    synth.write_image(path, labels)
    image = nib.load(path)
    turned = image.as_reoriented([[1, 1], [0, -1], [2, 1]])
    path.unlink()
    nib.save(turned, path)
    fits = jobs(estimators=("lsq", "bayes"), derivatives={"atlas": atlas})
    assert {run_fit(job).error for job in fits} == {""}
    compare_estimators(tmp_path / "out", "01", {"atlas": atlas})
    records = [json.loads(file.read_text()) for file in (tmp_path / "out").rglob("*_qc.json")]
    assert [len(record["Regions"]) for record in records] == [2, 2]
    for record in records:
        for name, label in record["SegmentationLabels"].items():
            found = record["Regions"][name]
            assert 0 < found["t1_common_voxels"] <= np.count_nonzero(labels == label)
            assert found["t1_common_median"] == pytest.approx(
                np.median(truth["t1"][labels == label]), rel=1e-2
            )
    # Without the segmentation there is nothing to say of regions, and nothing that was is kept.
    compare_estimators(tmp_path / "out", "01")
    records = [json.loads(file.read_text()) for file in (tmp_path / "out").rglob("*_qc.json")]
    assert not [
        key for record in records for part in record["Regions"].values() for key in part if "common" in key
    ]
