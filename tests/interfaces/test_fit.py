"""A fit does not depend on how voxels are cut into blocks, leaves nothing half done, and names its faults."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth
import synth_contrasts
from runs import run_fit

from bids_qmri.errors import InputError
from bids_qmri.interfaces import voxels

from .conftest import PlanJobs

MAKERS = {"vfa": synth.add_vfa, "ivim": synth.add_ivim, "tensor": synth.add_tensor}


def maps(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(nib.load(path).dataobj) for path in folder.rglob("*.nii.gz")}


@pytest.mark.parametrize("family", MAKERS)
def test_maps_do_not_depend_on_the_size_of_blocks(
    bids: Path, jobs: PlanJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    MAKERS[family](bids)
    for size, output in ((1 << 14, "one"), (5, "many")):
        monkeypatch.setattr(voxels, "BLOCK_VOXELS", size)
        assert [run_fit(job).error for job in jobs(output)] == [""]
    one, many = maps(tmp_path / "one"), maps(tmp_path / "many")
    assert one.keys() == many.keys()
    for name, values in one.items():
        np.testing.assert_allclose(many[name], values, rtol=1e-5, atol=1e-7, err_msg=name)


def test_sloppy_fits_every_eighth_voxel_of_the_mask_to_the_same_values(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    synth.add_vfa(bids)
    for job in (*jobs("whole"), *jobs("sloppy", sloppy=True)):
        assert not run_fit(job).error
    name = "sub-01_desc-lsq_T1map.nii.gz"
    whole, sloppy = (maps(tmp_path / folder)[name] for folder in ("whole", "sloppy"))
    fitted = sloppy != 0
    assert fitted.sum() == np.ceil((whole != 0).sum() / 8)
    np.testing.assert_allclose(sloppy[fitted], whole[fitted], rtol=1e-6)


def test_images_that_give_no_estimate_anywhere_fail_by_name_and_leave_no_map(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    synth.add_vfa(bids)
    for index in (1, 2, 3):
        synth.write_image(bids / f"sub-01/anat/sub-01_flip-{index}_VFA.nii.gz", np.full(synth.SHAPE, np.nan))
    [outcome] = [run_fit(job) for job in jobs()]
    assert "sub-01_flip-1_VFA.nii.gz" in outcome.error
    assert not maps(tmp_path / "out")


def test_debug_lets_the_error_through(bids: Path, jobs: PlanJobs) -> None:
    synth.add_vfa(bids)
    [job] = jobs(debug=True)
    job.acquisition.images[0].write_bytes(b"no image")
    with pytest.raises(InputError, match="flip-1_VFA"):
        run_fit(job)


def test_a_combined_image_is_not_said_to_want_its_noise(bids: Path, jobs: PlanJobs) -> None:
    synth_contrasts.add_uniform(bids, synth_contrasts.body(0.6, 3.0))
    [job] = jobs()
    (note,) = [note for note in run_fit(job).notes if "no standard deviations" in note]
    assert "need the images that this one was computed from" in note


def test_error_bars_that_cannot_be_known_are_missed_aloud(bids: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    synth.add_vfa(bids, flips=(3, 20))
    [job] = jobs()
    outcome = run_fit(job)
    assert not outcome.error
    assert any("no standard deviations: the noise of air" in note for note in outcome.notes)
    assert any("--noise VALUE" in note for note in outcome.notes)
    assert not list((tmp_path / "out").rglob("*Std*"))
