"""Series aligned before they are fitted: directions that follow, what is written, what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation
from turning import AS_IT_IS, mirror, turned

from bids_qmri.alignment.groupwise import Alignment
from bids_qmri.alignment.motion import Motion
from bids_qmri.alignment.transforms import Transform, resample
from bids_qmri.bids.acquisition import Acquisition, ReadOptions, files_acquisition
from bids_qmri.bids.dataset import find
from bids_qmri.bids.images import open_series
from bids_qmri.cli.run import main
from bids_qmri.interfaces.aligned import AlignedSeries, measure_motion, with_turned_directions
from bids_qmri.interfaces.opening import open_acquisition
from bids_qmri.physics.diffusion import DiffusionProtocol

ORDERS = (AS_IT_IS, ((1, 0, 2), (1, -1, 1)), ((2, 0, 1), (-1, 1, 1)), ((0, 1, 2), (-1, 1, -1)))
BUNDLE = np.array([0.8, 0.6, 0.0])
"""Direction of a bundle in the head, scanner coordinates (to the right, front, head)."""
HEAD_TURN = Rotation.from_euler("z", 10, degrees=True).as_matrix()


@pytest.mark.parametrize("order", ORDERS)
def test_directions_follow_the_head_in_any_order_of_axes(tmp_path: Path, order) -> None:
    """What gradients measure along a bundle does not depend on how the head was turned meanwhile."""
    affine = np.diag([2.0, 2.0, 2.5, 1.0])
    image = turned(nib.Nifti1Image(np.ones((12, 10, 8, 3), dtype=np.float32), affine), order)
    path = tmp_path / "sub-01_dwi.nii"
    nib.save(image, path)
    gradients = np.array([[1.0, 0, 0], [0.6, 0.8, 0], [0, 0.28, 0.96]])
    # Tables have directions along the axes of the stored image.
    cosines = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    protocol = DiffusionProtocol(np.full(3, 1000.0), (gradients @ cosines) * mirror(image.affine))
    acquisition = files_acquisition("dwi", "dwi", [path], protocol)
    with open_series([path], tmp_path) as series:
        world = np.eye(4)
        world[:3, :3] = HEAD_TURN
        inside = np.linalg.inv(series.affine) @ world @ series.affine
        moves = (Transform(np.eye(4)), Transform(inside), Transform(inside))
        aligned = AlignedSeries(series, Alignment(moves, 0), "rigid", Motion(np.zeros((3, 3))), 1.0)
        found = with_turned_directions(acquisition, aligned).protocol
    assert isinstance(found, DiffusionProtocol)
    assert found.bvecs is not None
    seen = (found.bvecs * mirror(image.affine)) @ cosines.T
    # The head turned, its bundle with it; measured against gradients that did not turn.
    expected = [BUNDLE, HEAD_TURN @ BUNDLE, HEAD_TURN @ BUNDLE]
    assert_allclose(seen @ BUNDLE, np.einsum("ni,ni->n", gradients, expected), atol=1e-12)


SHAPE = (32, 30, 20)
ANGLES = (2.0, 5.0, 9.0, 14.0, 20.0)
MOVES = ((0.0, 0, 0, 0), (0.04, 1.2, 0, 0.3), (-0.03, 0, -1.4, 0), (0.02, -1, 1, -0.4), (0.05, 0.5, 0.8, 0))


def _moved(angle: float, *voxels: float) -> Transform:
    matrix, middle = np.eye(4), (np.array(SHAPE) - 1) / 2
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = middle - matrix[:3, :3] @ middle + np.array(voxels)
    return Transform(matrix)


def _head() -> tuple[np.ndarray, np.ndarray]:
    """Return T1 in s of an ellipsoid with texture, and where it is."""
    place = np.indices(SHAPE).transpose(1, 2, 3, 0)
    inside = np.linalg.norm((place - (np.array(SHAPE) - 1) / 2) / (0.38 * np.array(SHAPE)), axis=-1) < 1
    texture = gaussian_filter(np.random.default_rng(5).standard_normal(SHAPE), 2.0)
    return 1.0 + 0.3 * texture / texture.std(), inside


@pytest.fixture
def moved_vfa(tmp_path: Path) -> Path:
    """Write a dataset of five flip angles, between which the head moved."""
    root = synth.new_dataset(tmp_path / "raw")
    t1, inside = _head()
    rng = np.random.default_rng(6)
    for number, (angle, move) in enumerate(zip(ANGLES, MOVES, strict=True), 1):
        clean = inside * synth.spoiled_echo(np.maximum(t1, 0.2), 1000.0, angle, 0.015)
        image = np.nan_to_num(resample(gaussian_filter(clean, 0.6).astype(np.float32), _moved(*move)))
        noisy = np.hypot(*(image * (1, 0)[part] + rng.standard_normal(SHAPE) for part in range(2)))
        path = synth.place(root, "anat", f"sub-01_flip-{number}_VFA.nii.gz")
        synth.write_image(path, noisy)
        fields = {"FlipAngle": angle, "RepetitionTimeExcitation": 0.015, "PulseSequenceType": "SPGR"}
        synth.write_json(path.with_name(path.name.replace(".nii.gz", ".json")), fields)
    return tmp_path


@pytest.fixture
def run(moved_vfa: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Fit the dataset by least squares into a folder, and return what was said."""

    def call(out: str, *more: str) -> str:
        folders = [str(moved_vfa / "raw"), str(moved_vfa / out), "participant", "-w", str(moved_vfa / "work")]
        assert main([*folders, "--nprocs", "1", "--methods", "lsq", *more]) == 0
        return capsys.readouterr().err

    return call


def _t1_error(folder: Path) -> float:
    t1, inside = _head()
    inner = gaussian_filter(inside.astype(float), 1.5) > 0.97
    found = nib.load(folder / "sub-01" / "anat" / "sub-01_desc-lsq_T1map.nii.gz").get_fdata()
    return float(np.median(np.abs(found - t1)[inner]))


def test_motion_is_measured_and_said_without_alignment(moved_vfa: Path, run: Callable[..., str]) -> None:
    said = run("out")
    assert "moved by more than a voxel" in said
    assert "--align" in said
    assert "voxel, sub-01_flip-4_VFA.nii.gz by" in said or "voxel, sub-01_flip-3_VFA.nii.gz by" in said
    table = moved_vfa / "out" / "sub-01" / "anat" / "sub-01_mod-VFA_desc-motion_timeseries.tsv"
    values = np.genfromtxt(table, names=True)
    zooms = np.array([2.0, 2.0, 3.0])
    # The object lies where the voxels that show it are: opposite to where these looked. x runs to the left.
    expected = -np.array([move[1:] for move in MOVES]) * zooms
    found = np.stack([values[f"trans_{axis}"] for axis in "xyz"], axis=1)
    assert_allclose(np.abs(found), np.abs(expected), atol=1.0)
    [file] = table.parent.glob("*desc-lsq_qc.json")
    record = json.loads(file.read_text())
    assert record["Metrics"]["motion_max"] == pytest.approx(np.linalg.norm(found, axis=1).max(), rel=1e-3)


def test_without_motion_nothing_is_measured(moved_vfa: Path, run: Callable[..., str]) -> None:
    assert "moved by" not in run("out", "--no-motion")
    assert not list((moved_vfa / "out").rglob("*timeseries*"))


def test_aligned_images_give_the_right_t1_and_say_so(moved_vfa: Path, run: Callable[..., str]) -> None:
    pytest.importorskip("itk", reason="the extra align is not installed")
    run("off")
    run("on", "--align", "rigid", "--save-aligned")
    assert _t1_error(moved_vfa / "on") < 0.5 * _t1_error(moved_vfa / "off")
    anat = moved_vfa / "on" / "sub-01" / "anat"
    sidecar = json.loads((anat / "sub-01_desc-lsq_T1map.json").read_text())
    assert sidecar["Aligned"].startswith("rigid")
    assert sidecar["AlignedTo"] == 0
    images = nib.load(anat / "sub-01_mod-VFA_desc-aligned_VFA.nii.gz")
    assert images.shape == (*SHAPE, len(ANGLES))
    first = nib.load(moved_vfa / "raw" / "sub-01" / "anat" / "sub-01_flip-1_VFA.nii.gz")
    assert_allclose(images.dataobj[..., 0], first.get_fdata(), rtol=1e-5)
    assert_allclose(images.affine, first.affine)
    matrices = json.loads((anat / "sub-01_mod-VFA_desc-aligned_VFA.json").read_text())["Transforms"][
        "Matrices"
    ]
    assert_allclose(matrices[0], np.eye(4))
    assert len(matrices) == len(ANGLES)


def test_two_images_are_fitted_as_they_are_with_a_warning(moved_vfa: Path, run: Callable[..., str]) -> None:
    pytest.importorskip("itk", reason="the extra align is not installed")
    for number in (2, 4, 5):
        for path in (moved_vfa / "raw").rglob(f"*flip-{number}_*"):
            path.unlink()
    said = run("out", "--align", "rigid")
    assert "not aligned: --align: 2 images with a signal; needed: 3 or more; fix: look at the images" in said
    assert (moved_vfa / "out" / "sub-01" / "anat" / "sub-01_desc-lsq_T1map.nii.gz").is_file()


def _damaged_dwi(root: Path) -> Path:
    rng = np.random.default_rng(7)
    bvals = (0, 0, *([1000] * 24))
    bvecs = np.vstack([np.zeros((2, 3)), synth.directions(24)])
    _, inside = _head()
    adc = 1e-3 * (1 + 0.4 * (bvecs @ [1.0, 0, 0]) ** 2)
    clean = 500 * inside[..., None] * np.exp(-np.array(bvals) * adc)
    clean[:, :, 8, 10] *= 0.4
    noisy = np.hypot(*(clean * (1, 0)[part] + 10 * rng.standard_normal(clean.shape) for part in range(2)))
    synth.add_dwi(root, noisy, bvals, bvecs)
    return root


@pytest.mark.parametrize(("options", "kept"), [(ReadOptions(), 26), (ReadOptions(reject_outliers=True), 25)])
def test_an_image_with_dropped_signal_is_named_and_left_out_if_asked(tmp_path: Path, options, kept) -> None:
    _damaged_dwi(synth.new_dataset(tmp_path / "raw"))
    (found,) = find(tmp_path / "raw", "01", options)
    assert isinstance(found, Acquisition)
    with open_acquisition(found, options, tmp_path / "work") as opened:
        assert opened.series.n_measurements == kept
        assert opened.acquisition.protocol is not None
        assert opened.acquisition.protocol.n_measurements == kept
        said = [
            note for note in opened.acquisition.notes if "volume 10 (counted from 0): 1 of 20 slices" in note
        ]
    assert len(said) == 1
    assert said[0].endswith("left out" if kept == 25 else "--reject-outliers")


def test_directions_of_one_shell_are_no_motion(tmp_path: Path) -> None:
    _damaged_dwi(synth.new_dataset(tmp_path / "raw"))
    (found,) = find(tmp_path / "raw", "01", ReadOptions())
    assert isinstance(found, Acquisition)
    with open_acquisition(found, ReadOptions(), tmp_path / "work") as opened:
        motion = measure_motion(found, opened.series)
    assert np.nanmax(motion.displacement) < 0.5


def test_native_t1_of_a_contrast_series_is_fitted_from_aligned_flip_angles(moved_vfa: Path) -> None:
    pytest.importorskip("itk", reason="the extra align is not installed")
    t1, inside = _head()
    times = 6.0 * np.arange(12)
    series = inside[..., None] * synth.spoiled_echo(t1[..., None], 1000.0, 15.0, 0.005)
    rng = np.random.default_rng(8)
    noisy = np.abs(series + 0.5 * rng.standard_normal((*SHAPE, times.size)))
    path = synth.place(moved_vfa / "raw", "perf", "sub-01_dce.nii.gz")
    synth.write_image(path, noisy)
    keys = {"FlipAngle": 15, "RepetitionTimeExcitation": 0.005, "VolumeTiming": times.tolist()}
    keys |= {"ContrastAgentRelaxivity": 4.5, "BaselineVolumes": 5}
    synth.write_json(path.with_name("sub-01_dce.json"), keys)
    synth.add_aif(moved_vfa / "raw", "sub-01", times, synth.arterial_input(times))
    inner = gaussian_filter(inside.astype(float), 1.5) > 0.97
    wrong = []
    for options in (ReadOptions(), ReadOptions(align="rigid")):
        found = find(moved_vfa / "raw", "01", options)
        [dce] = [one for one in found if isinstance(one, Acquisition) and one.kind == "dce"]
        with open_acquisition(dce, options, moved_vfa / "work") as opened:
            values = opened.scan.maps["t10"].reshape(SHAPE, order="F")
            said = [note for note in opened.notes if note.startswith("vfa of ")]
        wrong.append(float(np.nanmedian(np.abs(values - t1)[inner])))
        assert any("before they were aligned" in note for note in said) == bool(options.align)
    assert wrong[1] < 0.5 * wrong[0]
