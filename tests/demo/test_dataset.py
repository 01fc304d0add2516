"""The synthetic dataset: what a reader needs is there, and the images carry the truth that was put in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_qmri.demo import dataset
from bids_qmri.demo.dataset import (
    FLIP_ANGLES,
    IVIM_SNR,
    PHANTOMS,
    REPETITION_TIME,
    write_dataset,
    write_masks,
)
from bids_qmri.demo.phantom import SHAPE, abdomen, brain


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_dataset(folder)
    return folder


def voxels(root: Path, name: str) -> np.ndarray:
    return np.asarray(nib.load(root / name).dataobj, dtype=float)


def test_participants(root: Path) -> None:
    listed = (root / "participants.tsv").read_text().split()[1:]
    assert listed == [f"sub-{label}" for label in PHANTOMS]
    assert all((root / name).is_dir() for name in listed)


def test_same_seed_same_images(root: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path)
    name = "sub-abdomen02/perf/sub-abdomen02_dce.nii.gz"
    assert np.array_equal(voxels(root, name), voxels(tmp_path, name))


def test_participants_of_one_phantom_differ_in_noise(root: Path) -> None:
    one, two = (voxels(root, f"sub-abdomen0{i}/dwi/sub-abdomen0{i}_dwi.nii.gz") for i in (1, 2))
    assert not np.array_equal(one, two)


def test_every_image_has_a_sidecar_and_a_position(root: Path) -> None:
    images = sorted(root.rglob("*.nii.gz"))
    assert len(images) == 3 * len(FLIP_ANGLES) + 1 + 4 + 2
    for image in images:
        header = nib.load(image).header
        assert json.loads(Path(str(image).replace(".nii.gz", ".json")).read_text())
        assert header.get_data_dtype() == np.int16
        assert header["sform_code"] > 0
        assert header.get_xyzt_units() == ("mm", "sec")


def test_gradient_tables_match_their_images(root: Path) -> None:
    for bval in root.rglob("*.bval"):
        volumes = nib.load(bval.with_suffix(".nii.gz")).shape[3]
        bvals, bvecs = np.loadtxt(bval), np.loadtxt(bval.with_suffix(".bvec"))
        assert bvals.shape == (volumes,)
        assert bvecs.shape == (3, volumes)
        assert np.allclose(np.linalg.norm(bvecs[:, bvals > 0], axis=0), 1, atol=1e-5)


def test_directions_cover_the_half_sphere_evenly() -> None:
    vectors = dataset._directions(30)
    scatter = vectors.T @ vectors / 30
    assert np.allclose(scatter, np.eye(3) / 3, atol=0.05)


def test_vfa_signal_is_the_steady_state(root: Path) -> None:
    liver = next(t for t in abdomen().tissues if t.name == "liver")
    inside = abdomen().labels == 1 + [t.name for t in abdomen().tissues].index("liver")
    e1 = np.exp(-REPETITION_TIME / liver.truth["t1"])
    for index, degrees in enumerate(FLIP_ANGLES, start=1):
        alpha = np.deg2rad(degrees)
        expected = liver.truth["m0"] * np.sin(alpha) * (1 - e1) / (1 - e1 * np.cos(alpha))
        image = voxels(root, f"sub-abdomen01/anat/sub-abdomen01_flip-{index}_VFA.nii.gz")
        assert np.median(image[inside]) == pytest.approx(expected, rel=0.005)


def test_mean_diffusivity_is_in_the_signal(root: Path) -> None:
    series = voxels(root, "sub-brain01/dwi/sub-brain01_dwi.nii.gz")
    grey = series[brain().labels == 1]  # nearly isotropic and far above the noise
    decay = grey[:, dataset.N_B0 :].mean() / grey[:, : dataset.N_B0].mean()
    assert -np.log(decay) / dataset.TENSOR_B == pytest.approx(0.8e-3, rel=0.01)


def test_fluid_of_the_shells_diffuses_freely(root: Path) -> None:
    series = voxels(root, "sub-brain01/dwi/sub-brain01_acq-shells_dwi.nii.gz")
    fluid = series[brain().labels == 3].mean(axis=0)
    first, second = list(dataset.SHELLS.values())[:2]
    decay = fluid[first : first + second].mean() / fluid[:first].mean()
    assert -np.log(decay) / 700 == pytest.approx(3e-3, rel=0.02)


def test_background_is_rayleigh_noise_of_the_stated_level(root: Path) -> None:
    series = voxels(root, "sub-abdomen01/dwi/sub-abdomen01_dwi.nii.gz")
    sigma = 1e3 / IVIM_SNR
    background = series[abdomen().labels == 0]
    assert background.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.02)


def test_nothing_enhances_before_the_bolus(root: Path) -> None:
    series = voxels(root, "sub-abdomen01/perf/sub-abdomen01_dce.nii.gz")
    curve = series[abdomen().labels == 2].mean(axis=0)
    assert np.allclose(curve[: dataset.BASELINE_FRAMES], curve[0], rtol=0.005)
    assert curve.max() > 1.5 * curve[0]


def test_transmit_field_is_in_percent_around_nominal(root: Path) -> None:
    field = voxels(root, "sub-brain01/fmap/sub-brain01_TB1map.nii.gz")
    assert field.shape == SHAPE
    assert 80 < np.median(field[brain().labels > 0]) < 120


def test_masks_are_where_the_phantom_is(tmp_path: Path) -> None:
    write_masks(tmp_path)
    mask = voxels(tmp_path, "sub-brain01/anat/sub-brain01_desc-phantom_mask.nii.gz")
    assert np.array_equal(mask, brain().labels > 0)


def test_tissues_are_named(tmp_path: Path) -> None:
    write_masks(tmp_path)
    stem = "sub-abdomen01/anat/sub-abdomen01_desc-tissues_dseg"
    assert np.array_equal(voxels(tmp_path, f"{stem}.nii.gz"), abdomen().labels)
    assert "2\tliver\n" in (tmp_path / f"{stem}.tsv").read_text()


def test_validator_accepts_the_dataset(root: Path) -> None:
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed")
    result = subprocess.run([validator, root], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
