"""What is not determined is told beside every map, and by everything that speaks of regions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import synth
from runs import run_fit

from bids_qmri.estimators.base import Status
from bids_qmri.interfaces.agreement import compare_estimators
from bids_qmri.outputs.tables import output_table
from bids_qmri.reports.page_data import MASK, read_page_data
from bids_qmri.reports.records import Record, find_records

from .conftest import PlanJobs

NAMES = ("d", "dstar", "f")
TABLE = output_table("ivim")


@pytest.fixture
def noisy(bids: Path) -> Path:
    """Return a dataset with an IVIM series of which D* can be told in some voxels."""
    synth.add_ivim(bids)
    path = synth.place(bids, "dwi", "sub-01_dwi.nii.gz")
    image = nib.load(path)
    values = np.asarray(image.dataobj)
    noise = 20 * np.random.default_rng(4).standard_normal((2, *values.shape))
    synth.write_image(path, np.hypot(values + noise[0], noise[1]))
    return bids


def records(folder: Path) -> dict[str, Record]:
    return {record.estimator: record for record in find_records(folder)}


def voxels(record: Record, row: Any) -> np.ndarray:
    return np.asarray(nib.load(record.path(row, ".nii.gz")).dataobj)


def common(record: Record, name: str) -> np.ndarray:
    """Return where there is an estimate that the data determine, from the files alone."""
    status = voxels(record, TABLE.status)
    return np.isin(status, (1, 2, 6)) & (voxels(record, TABLE.determined(name)) == 1)


def test_a_map_per_parameter_and_the_status_tell_it_with_their_rule(
    noisy: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    assert {run_fit(job).error for job in jobs(models=("ivim",))} == {""}
    record = records(tmp_path / "out")["lsq"]
    known = {name: voxels(record, TABLE.determined(name)) for name in NAMES}
    for name, part in known.items():
        fields = json.loads(record.path(TABLE.determined(name), ".json").read_text())
        assert part.dtype == np.uint8
        assert fields["Levels"] == {"0": "not determined", "1": "determined"}
        assert fields["Units"] == "1"
        sd = voxels(record, TABLE.sd(name))
        limit = float(fields["Description"].split("limits, ")[1].split()[0].rstrip(","))
        assert np.all(sd[part == 1] <= 1.01 * limit)
    assert known["d"].mean() > known["dstar"].mean()
    assert 0 < known["dstar"].mean() < 1
    status = voxels(record, TABLE.status)
    estimated = np.isin(status, (1, 2, 6))
    nothing = np.sum(list(known.values()), axis=0) == 0
    np.testing.assert_array_equal(status == Status.UNDETERMINED, estimated & nothing)
    levels = json.loads(record.path(TABLE.status, ".json").read_text())["Levels"]
    assert levels["6"] == "estimated, no parameter determined by the data"
    assert not record.path(TABLE.determined("s0"), ".nii.gz").exists()


def test_medians_of_mask_and_regions_and_histograms_are_over_determined_voxels(
    noisy: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    labels = np.zeros(synth.SHAPE)
    labels[:2], labels[2:] = 1, 2
    regions = synth.new_dataset(tmp_path / "atlas", "derivative")
    synth.write_image(regions / "sub-01" / "dwi" / "sub-01_dseg.nii.gz", labels)
    chosen = jobs(models=("ivim",), derivatives={"atlas": regions})
    assert {run_fit(job).error for job in chosen} == {""}
    record = records(tmp_path / "out")["lsq"]
    histograms = read_page_data(record).histograms
    assert histograms is not None
    rows = {MASK: (labels > 0, record.metrics)} | {
        f"label {k}": (labels == k, record.fields["Regions"][f"label {k}"]) for k in (1, 2)
    }
    for name in NAMES:
        values, counted = voxels(record, TABLE.estimate(name)), common(record, name)
        for region, (inside, metrics) in rows.items():
            estimated = inside & np.isin(voxels(record, TABLE.status), (1, 2, 6))
            assert metrics[f"{name}_determined"] == pytest.approx(counted[estimated].mean())
            assert metrics[f"{name}_median"] == pytest.approx(np.median(values[counted & inside]))
            assert sum(histograms[name].counts[region]) == np.count_nonzero(counted & inside)


def test_estimators_are_compared_over_the_same_voxels(noisy: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    chosen = jobs(models=("ivim",), estimators=("lsq", "bayes"))
    assert {run_fit(job).error for job in chosen} == {""}
    compare_estimators(tmp_path / "out", "01")
    found = records(tmp_path / "out")
    for name in NAMES:
        maps = [voxels(found[label], TABLE.estimate(name)).astype(float) for label in ("bayes", "lsq")]
        both = common(found["bayes"], name) & common(found["lsq"], name)
        expected = np.median((maps[0] - maps[1])[both])
        assert found["bayes"].metrics[f"{name}_bias_lsq"] == pytest.approx(expected)


def test_maps_of_an_earlier_run_that_nobody_can_tell_any_more_go(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    synth.add_vfa(bids)
    assert [run_fit(job).error for job in jobs()] == [""]
    row = output_table("vfa").determined("t1")
    path = records(tmp_path / "out")["lsq"].path(row, ".nii.gz")
    assert path.exists()
    [job] = jobs(bounds={"t1": (1.0, 1.0)})
    assert run_fit(job).error == ""
    assert not path.exists()


def test_native_t1_comes_from_voxels_that_tell_it(bids: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    synth.add_vfa(bids, flips=(3, 6, 9))
    synth.add_dce(bids)
    rng = np.random.default_rng(0)
    for path in sorted((bids / "sub-01" / "anat").glob("*_VFA.nii.gz")):
        values = np.asarray(nib.load(path).dataobj)
        synth.write_image(path, values * rng.normal(1.0, 0.12, values.shape))
    assert {run_fit(job).error for job in jobs(models=("vfa", "etofts"))} == {""}
    record, kinetics = (
        next(one for one in find_records(tmp_path / "out") if one.table.model == model)
        for model in ("vfa", "etofts")
    )
    status = voxels(record, record.table.status)
    undetermined = status == Status.UNDETERMINED
    assert 0 < undetermined.mean() < 1
    fitted = voxels(kinetics, kinetics.table.status)
    assert np.all(fitted[undetermined] == Status.UNUSABLE)
    assert np.mean(fitted[status == Status.OK] != Status.UNUSABLE) > 0.9
