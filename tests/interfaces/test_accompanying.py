"""Maps that come with images lie where the images lie, once they are aligned."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from bids_qmri.alignment.pair import mutual_information, register_pair
from bids_qmri.alignment.transforms import Transform, grid_points, resample
from bids_qmri.bids.acquisition import Acquisition, ReadOptions, files_acquisition
from bids_qmri.bids.dataset import find
from bids_qmri.bids.images import open_series
from bids_qmri.interfaces.accompanying import interpolated, placed
from bids_qmri.interfaces.opening import open_acquisition

ZOOMS = np.array([2.0, 2.0, 3.0])
STILL = Transform(np.eye(4))


def _object(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return T1 in s of a textured ball, 0 outside, and where it is."""
    place = np.indices(shape).transpose(1, 2, 3, 0) - (np.array(shape) - 1) / 2
    inside = np.linalg.norm(place / (0.38 * np.maximum(shape, 4)), axis=-1) < 1
    texture = gaussian_filter(np.random.default_rng(3).standard_normal(shape), [3 * (n > 1) for n in shape])
    return np.where(inside, np.clip(1.2 + 0.4 * texture / texture.std(), 0.3, None), 0.0), inside


def _turned(shape: tuple[int, int, int], degrees: float, *mm: float) -> Transform:
    """Return a turn about the third axis and a shift, rigid in mm."""
    world, middle = np.eye(4), ZOOMS * (np.array(shape) - 1) / 2
    world[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    world[:3, 3] = middle - world[:3, :3] @ middle + np.array(mm)
    size = np.diag([*ZOOMS, 1.0])
    return Transform(np.linalg.inv(size) @ world @ size)


def _weighted(t1: np.ndarray, noise: float) -> np.ndarray:
    """Return an image whose contrast is the inverse of that of T1."""
    signal = np.where(t1 > 0, 100 * (1 - np.exp(-0.8 / np.maximum(t1, 0.1))), 0.0)
    rng = np.random.default_rng(4)
    return np.hypot(signal + noise * rng.standard_normal(t1.shape), noise * rng.standard_normal(t1.shape))


@pytest.mark.parametrize("shape", [(48, 44, 24), (64, 60, 1)])
def test_a_map_is_found_where_it_lies_within_a_quarter_of_a_voxel(shape: tuple[int, int, int]) -> None:
    pytest.importorskip("itk", reason="the extra align is not installed")
    t1, inside = _object(shape)
    true = _turned(shape, 3.0, 2.5, -2.0, 0.0 if shape[2] == 1 else 3.0)
    # What moved shows at a place what the images show at the place that the transform gives.
    moved = np.nan_to_num(resample(t1.astype(np.float32), true))
    found = register_pair(_weighted(t1, 2.0).astype(np.float32), moved, ZOOMS)
    points = grid_points(shape)[:, inside.ravel(order="F")]
    off = true.at(found.at(points)) - points
    assert np.sqrt((off**2).sum(axis=0).mean()) < 0.25


def test_a_map_that_lies_right_stays(tmp_path: Path) -> None:
    pytest.importorskip("itk", reason="the extra align is not installed")
    t1, inside = _object((40, 40, 20))
    found = register_pair(_weighted(t1, 2.0).astype(np.float32), t1.astype(np.float32), ZOOMS)
    points = grid_points((40, 40, 20))[:, inside.ravel(order="F")]
    assert np.abs(found.at(points) - points).max() < 0.15


def test_mutual_information_of_an_image_with_itself_is_its_entropy() -> None:
    image = np.repeat(np.arange(4, dtype=np.float32), 16).reshape(4, 4, 4)
    assert mutual_information(image, image, STILL) == pytest.approx(np.log(4))
    assert mutual_information(image, np.zeros_like(image), STILL) == pytest.approx(0.0)


def test_values_beside_holes_are_not_mixed_with_them() -> None:
    values = np.full((6, 6, 6), 1.5)
    values[3] = np.nan
    half = np.eye(4)
    half[0, 3] = 0.4
    found = interpolated(values.ravel(order="F"), Transform(half), (6, 6, 6)).reshape(6, 6, 6, order="F")
    assert np.isnan(found[3]).all()
    assert found[1] == pytest.approx(1.5)
    assert found[2] == pytest.approx(1.5)


def test_a_field_alone_stays_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "image.nii"
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), dtype=np.float32), np.diag([*ZOOMS, 1.0])), path)
    field, notes = np.linspace(0.8, 1.2, 64), list[str]()
    with open_series([path], tmp_path) as series:
        found = placed("B1+", field, None, series, files_acquisition("vfa", "anat", [path], None), notes)
    assert np.array_equal(found, field)
    assert notes == ["B1+ is not registered to the images: no image of the object comes with it"]


def test_a_field_with_an_image_of_the_object_follows_it(tmp_path: Path) -> None:
    """A VFA series whose transmit field was measured after the head had moved."""
    pytest.importorskip("itk", reason="the extra align is not installed")
    shape = (40, 40, 20)
    t1, inside = _object(shape)
    b1 = 0.8 + 0.4 * np.indices(shape)[0] / shape[0]
    root = synth.new_dataset(tmp_path / "raw")
    for number, angle in enumerate((3.0, 10.0, 20.0), 1):
        clean = inside * synth.spoiled_echo(np.maximum(t1, 0.2), 1000.0, angle * b1, 0.015)
        path = synth.place(root, "anat", f"sub-01_flip-{number}_VFA.nii.gz")
        synth.write_image(path, _noisy(clean, number))
        fields = {"FlipAngle": angle, "RepetitionTimeExcitation": 0.015, "PulseSequenceType": "SPGR"}
        synth.write_json(path.with_name(path.name.replace(".nii.gz", ".json")), fields)
    true = _turned(shape, 0.0, 8.0, 0.0, 0.0)
    for name, values in (("anat", _weighted(t1, 1.0)), ("famp", 800.0 * b1)):
        places = true.at(grid_points(shape))
        moved = map_coordinates(values, places, order=1, mode="nearest").reshape(shape, order="F")
        path = synth.place(root, "fmap", f"sub-01_acq-{name}_TB1TFL.nii.gz")
        synth.write_image(path, moved)
        synth.write_json(path.with_name(path.name.replace(".nii.gz", ".json")), {"FlipAngle": 80})
    wrong = []
    for options in (ReadOptions(b1_units=800.0), ReadOptions(b1_units=800.0, align="rigid")):
        every = [one for one in find(root, "01", options) if isinstance(one, Acquisition)]
        (found,) = (one for one in every if one.kind == "vfa")
        with open_acquisition(found, options, tmp_path / "work") as opened:
            field = opened.scan.maps["b1"].reshape(shape, order="F")
            said = [note for note in opened.notes if note.startswith("B1+ lay")]
        assert bool(said) == (options.align is not None)
        wrong.append(float(np.nanmax(np.abs(field - b1)[inside])))
    assert wrong[0] == pytest.approx(0.04, abs=0.005)
    assert wrong[1] < 0.01


def _noisy(clean: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.hypot(clean + 0.5 * rng.standard_normal(clean.shape), 0.5 * rng.standard_normal(clean.shape))
