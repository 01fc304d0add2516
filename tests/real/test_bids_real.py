"""The whole application on measured data, against figures found with other software on the same files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_qmri.cli.run import main


@pytest.fixture(scope="session")
def bids_real(shared_data):
    return shared_data / "bids-real"


@pytest.fixture(scope="session")
def derivatives(bids_real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    output = folder / "out"
    code = main([str(bids_real), str(output), "participant", "group", "-w", str(folder / "work")])
    assert code == 0
    return output


@pytest.fixture(scope="session")
def without_delay(bids_real, tmp_path_factory):
    """Return kinetics with the artery's clock, as those who found the figures had them."""
    folder = tmp_path_factory.mktemp("clock")
    arguments = [str(bids_real), str(folder / "out"), "participant", "-w", str(folder / "work")]
    options = "--participant-label vfadce --models etofts --estimators lsq --bounds t0=0,0"
    assert main([*arguments, *options.split()]) == 0
    return folder / "out"


def load(path):
    return np.asanyarray(nib.load(path).dataobj)


def roi(bids_real, participant, datatype, name):
    return load(bids_real / "derivatives/rois" / participant / datatype / f"{participant}_desc-{name}.nii.gz")


def t1_map(derivatives, prefix):
    return load(derivatives / prefix.split("_")[0] / "anat" / f"{prefix}_desc-lsq_T1map.nii.gz")


def model_map(derivatives, prefix, model, param, label="lsq"):
    datatype, suffix = {"etofts": ("perf", "dcemap")}.get(model, ("dwi", "dwimap"))
    name = f"{prefix}_model-{model}_param-{param}_desc-{label}_{suffix}.nii.gz"
    return load(derivatives / prefix.split("_")[0] / datatype / name)


def quartiles(values):
    return np.percentile(values[np.isfinite(values)], [25, 50, 75])


@pytest.mark.parametrize(
    ("region", "expected"), [("tissue_mask", [0.45, 0.75, 1.24]), ("enhancing_mask", [1.93, 2.10, 2.27])]
)
def test_t1_of_ten_flip_angles(derivatives, bids_real, region, expected):
    mask = roi(bids_real, "sub-vfadce", "anat", region) > 0
    np.testing.assert_allclose(quartiles(t1_map(derivatives, "sub-vfadce")[mask]), expected, rtol=0.01)


@pytest.mark.parametrize(
    ("param", "expected"),
    [("ktrans", [0.065, 0.102, 0.150]), ("ve", [0.21, 0.28, 0.42]), ("vp", [0.013, 0.046, 0.067])],
)
def test_tracer_kinetics_of_an_enhancing_region(without_delay, bids_real, param, expected):
    mask = roi(bids_real, "sub-vfadce", "anat", "enhancing_mask") > 0
    values = model_map(without_delay, "sub-vfadce", "etofts", param)[mask]
    np.testing.assert_allclose(quartiles(values), expected, rtol=0.10)


def test_a_delay_that_is_free_fits_no_voxel_worse(derivatives, without_delay, bids_real):
    mask = roi(bids_real, "sub-vfadce", "anat", "enhancing_mask") > 0
    free, fixed = (
        model_map(folder, "sub-vfadce", "etofts", "rmse")[mask] for folder in (derivatives, without_delay)
    )
    known = np.isfinite(free) & np.isfinite(fixed)
    assert np.mean(free[known] < 1.001 * fixed[known]) > 0.99


def test_voxels_without_a_concentration_are_flagged_and_not_filled(derivatives, bids_real):
    mask = roi(bids_real, "sub-vfadce", "anat", "enhancing_mask") > 0
    folder = derivatives / "sub-vfadce" / "perf"
    status = load(folder / "sub-vfadce_model-etofts_desc-lsqStatus_dcemap.nii.gz")[mask]
    told = load(derivatives / "sub-vfadce/anat/sub-vfadce_desc-lsqDetermined_T1map.nii.gz")[mask] == 1
    assert np.sum((status == 4) & told) == 2
    assert np.all(status[~told] == 4)
    assert np.all(np.isnan(model_map(derivatives, "sub-vfadce", "etofts", "ktrans")[mask][status == 4]))


def test_t1_with_a_transmit_field(derivatives, bids_real):
    mask = roi(bids_real, "sub-vfab1", "anat", "brain_mask") > 0
    expected = [1.04, 1.33, 1.71]
    np.testing.assert_allclose(quartiles(t1_map(derivatives, "sub-vfab1")[mask]), expected, rtol=0.01)


def test_ignoring_the_transmit_field_changes_t1_as_stated(bids_real, tmp_path):
    bare = tmp_path / "bids"
    shutil.copytree(bids_real / "sub-vfab1" / "anat", bare / "sub-vfab1" / "anat")
    shutil.copy(bids_real / "dataset_description.json", bare)
    assert main([str(bare), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "work")]) == 0
    t1 = t1_map(tmp_path / "out", "sub-vfab1")[roi(bids_real, "sub-vfab1", "anat", "brain_mask") > 0]
    np.testing.assert_allclose(quartiles(t1), [1.16, 1.44, 1.82], rtol=0.01)
    sidecar = tmp_path / "out" / "sub-vfab1" / "anat" / "sub-vfab1_desc-lsq_T1map.json"
    assert json.loads(sidecar.read_text())["B1Corrected"] is False


def test_t1_of_eight_bit_phantom_images(derivatives, bids_real):
    folder = bids_real / "sub-vfair" / "anat"
    images = [load(folder / f"sub-vfair_acq-vials_flip-{i}_VFA.nii.gz") for i in (1, 2, 3)]
    bright = np.all(np.array(images) > 20, axis=0)
    t1 = t1_map(derivatives, "sub-vfair_acq-vials")[bright]
    np.testing.assert_allclose(quartiles(t1), [0.43, 0.50, 0.57], atol=0.005)


@pytest.mark.parametrize("participant", ["sub-ivim1", "sub-ivim2", "sub-ivim3"])
def test_diffusion_of_abdominal_organs_keeps_its_order(derivatives, bids_real, participant):
    organs = roi(bids_real, participant, "dwi", "organs_dseg")
    d = model_map(derivatives, participant, "ivim", "d")
    f = model_map(derivatives, participant, "ivim", "f")
    pancreas, liver, kidney, spleen = (organs == label for label in (1, 2, 3, 4))
    assert np.nanmedian(d[pancreas]) > np.nanmedian(d[liver])
    if kidney.sum() > 6:
        assert np.nanmedian(d[kidney]) > np.nanmedian(d[liver])
    if spleen.sum() > 6:
        assert np.nanmedian(f[liver]) > np.nanmedian(f[spleen])


@pytest.mark.parametrize(
    ("participant", "fa", "md"),
    [
        ("sub-dti", [0.215, 0.345, 0.519], [0.684, 0.838, 1.684]),
        ("sub-dtigrid", [0.270, 0.395, 0.505], [0.686, 0.716, 0.755]),
    ],
)
def test_tensor_of_brain_crops(derivatives, participant, fa, md):
    found = quartiles(model_map(derivatives, participant, "tensor", "fa", "wls"))
    np.testing.assert_allclose(found, fa, atol=0.0011)
    found = quartiles(model_map(derivatives, participant, "tensor", "md", "wls")) * 1e3
    np.testing.assert_allclose(found, md, atol=0.0011)


@pytest.mark.parametrize(
    ("direction", "fa", "md"),
    [
        ("AP", [0.093, 0.169, 0.344], [0.760, 0.856, 1.187]),
        ("PA", [0.092, 0.171, 0.347], [0.769, 0.861, 1.178]),
    ],
)
def test_tensor_of_a_series_whose_b0_is_not_zero(derivatives, bids_real, direction, fa, md):
    prefix = f"sub-dtiuih_dir-{direction}"
    b0 = load(bids_real / "sub-dtiuih" / "dwi" / f"{prefix}_dwi.nii.gz")[..., 0].astype(float)
    head = b0 > 0.25 * np.percentile(b0, 99)
    found = quartiles(model_map(derivatives, prefix, "tensor", "fa", "wls")[head])
    np.testing.assert_allclose(found, fa, atol=0.0011)
    found = quartiles(model_map(derivatives, prefix, "tensor", "md", "wls")[head]) * 1e3
    np.testing.assert_allclose(found, md, atol=0.0011)


def inversion_map(derivatives, prefix, label="lsq"):
    name = f"{prefix}_model-ir_desc-{label}_T1map.nii.gz"
    return load(derivatives / prefix.split("_")[0] / "anat" / name)


@pytest.mark.parametrize(("label", "within"), [("lsq", 0.05), ("ncde", 0.15)])
def test_t1_of_a_brain_by_inversion_recovery(derivatives, bids_real, label, within):
    """The quartiles expected are those of a three-parameter fit by other software."""
    brain = roi(bids_real, "sub-irt1", "anat", "brain_mask") > 0
    found = quartiles(inversion_map(derivatives, "sub-irt1", label)[brain])
    np.testing.assert_allclose(found, [0.66, 0.75, 0.90], rtol=within)


def test_t1_of_a_phantom_by_inversion_recovery_with_a_short_repetition_time(derivatives, bids_real):
    last = load(bids_real / "sub-vfair" / "anat" / "sub-vfair_acq-irse_inv-6_IRT1.nii.gz")
    found = quartiles(inversion_map(derivatives, "sub-vfair_acq-irse")[last > 100])
    np.testing.assert_allclose(found, [0.163, 0.166, 0.169], rtol=0.015)


def test_every_participant_has_maps(derivatives):
    with_maps = {path.parts[-3] for path in derivatives.glob("sub-*/*/*map.nii.gz")}
    everyone = {path.stem for path in derivatives.glob("sub-*.html")}
    assert everyone == with_maps
    assert len(everyone) == 11


def test_the_output_is_valid_bids(derivatives):
    validator = Path(sys.executable).parent / "bids-validator-deno"
    result = subprocess.run([validator, derivatives], capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stdout[-3000:]


def test_the_input_is_not_touched(derivatives, bids_real):
    newest = max(path.stat().st_mtime for path in bids_real.rglob("*"))
    assert newest < (derivatives / "dataset_description.json").stat().st_mtime
