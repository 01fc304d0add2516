"""What a fit keeps for its page is what was measured and what the maps say."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth
from runs import run_fit

from bids_qmri.interfaces.fit import run_acquisition
from bids_qmri.interfaces.job import AcquisitionJob
from bids_qmri.interfaces.shown_voxels import REPRESENTATIVE, WORST
from bids_qmri.reports.page_data import MASK, PageData, read_page_data
from bids_qmri.reports.records import find_records

from .conftest import PlanJobs

MAKERS = {
    "vfa": lambda root: synth.add_vfa(root, b1=synth.ramp(0.8, 1.2)),
    "ivim": synth.add_ivim,
    "tensor": synth.add_tensor,
    "noddi": synth.add_noddi,
    "dce": lambda root: (synth.add_vfa(root), synth.add_dce(root)),
}


def kept(folder: Path, model: str) -> PageData:
    (record,) = [one for one in find_records(folder) if one.table.model == model]
    return read_page_data(record)


@pytest.mark.parametrize(
    ("family", "model", "axis"),
    [
        ("vfa", "vfa", "flip angle (degrees)"),
        ("ivim", "ivim", "b-value (s/mm²)"),
        ("tensor", "dti", "measurement, by b-value and fitted signal"),
        ("noddi", "noddi", "measurement, by b-value and fitted signal"),
        ("dce", "etofts", "time (s)"),
    ],
)
def test_without_noise_the_fitted_signal_is_the_measured_one(
    bids: Path, jobs: PlanJobs, tmp_path: Path, family: str, model: str, axis: str
) -> None:
    MAKERS[family](bids)
    assert [run_fit(job).error for job in jobs(models=(model,))] == [""]
    data = kept(tmp_path / "out", model)
    assert data.x_label == axis
    assert len(data.traces) == len(REPRESENTATIVE) + WORST
    for trace in data.traces:
        # Joined by straight lines, a smooth curve is off by a little between its points.
        fitted = np.interp(trace.x, trace.curve_x, trace.curve)
        np.testing.assert_allclose(fitted, trace.measured, atol=0.02 * max(trace.measured))


def test_the_worst_voxel_is_the_one_with_the_largest_residual(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    synth.add_vfa(bids)
    path = bids / "sub-01" / "anat" / "sub-01_flip-2_VFA.nii.gz"
    image = nib.load(path)
    values = np.asarray(image.dataobj).copy()
    values[1, 2, 0] *= 1.3
    nib.save(nib.Nifti1Image(values, image.affine), path)
    assert [run_fit(job).error for job in jobs()] == [""]
    traces = {trace.kind: trace for trace in kept(tmp_path / "out", "vfa").traces}
    assert traces["worst 1"].voxel == (1, 2, 0)
    assert traces["worst 1"].rmse > 10 * traces["median residual"].rmse
    assert max(traces["worst 1"].measured) == pytest.approx(values[1, 2, 0], rel=1e-4)


def test_histograms_are_kept_for_every_region(bids: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    synth.add_vfa(bids)
    rois = synth.new_dataset(tmp_path / "rois")
    labels = np.zeros(synth.SHAPE)
    labels[0] = 3
    synth.write_image(synth.place(rois, "anat", "sub-01_dseg.nii.gz"), labels)
    assert [run_fit(job).error for job in jobs(derivatives={"rois": rois})] == [""]
    histograms = kept(tmp_path / "out", "vfa").histograms
    assert histograms is not None
    counts = {name: sum(values) for name, values in histograms["t1"].counts.items()}
    assert counts == {MASK: labels.size, "label 3": int((labels == 3).sum())}


def test_all_estimators_show_the_same_voxels(bids: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    synth.add_vfa(bids)
    _disturb(bids, 0.1)
    fits = jobs(estimators=("lsq", "bayes"))
    assert [outcome.error for outcome in run_acquisition(AcquisitionJob(fits))] == ["", ""]
    shown = {
        record.estimator: [(trace.kind, trace.voxel) for trace in read_page_data(record).traces]
        for record in find_records(tmp_path / "out")
    }
    assert len(shown["lsq"]) == len(REPRESENTATIVE) + WORST
    assert shown["lsq"] == shown["bayes"]


def test_no_voxel_of_air_is_shown(bids: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    synth.add_vfa(bids)
    _disturb(bids, 0.02, air=0.05)
    masks = synth.new_dataset(tmp_path / "masks")
    synth.add_mask(masks, "sub-01_desc-brain", np.ones(synth.SHAPE))
    assert [run_fit(job).error for job in jobs(derivatives={"masks": masks})] == [""]
    traces = kept(tmp_path / "out", "vfa").traces
    assert len(traces) == len(REPRESENTATIVE) + WORST
    assert all(trace.voxel[0] > 0 for trace in traces)


def _disturb(bids: Path, share: float, air: float | None = None) -> None:
    """Change every signal by up to a share of it; the first plane becomes air."""
    rng = np.random.default_rng(5)
    for path in sorted((bids / "sub-01" / "anat").glob("*VFA.nii.gz")):
        image = nib.load(path)
        values = np.asarray(image.dataobj) * rng.uniform(1 - share, 1 + share, synth.SHAPE)
        if air is not None:
            values[0] = air * values[1].max() * rng.uniform(0, 1, values[0].shape)
        nib.save(nib.Nifti1Image(values, image.affine), path)
