"""Which voxels are fitted, and that the choice is recorded."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.dataset import find
from bids_qmri.bids.images import open_series
from bids_qmri.bids.masks import MaskChoice, find_mask
from bids_qmri.errors import InputError

HALF = np.zeros(synth.SHAPE)
HALF[:2] = 1
OTHER_HALF = 1 - HALF


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_vfa(root)
    return root


def _choose(dataset: Path, tmp_path: Path, **options: object) -> MaskChoice:
    choices = ReadOptions(**options)  # type: ignore[arg-type]
    found = find(dataset, "01", choices)[0]
    assert isinstance(found, Acquisition), found
    with open_series(found.images, tmp_path) as series:
        return find_mask(found, series, choices)


def test_without_background_every_voxel_is_fitted(dataset: Path, tmp_path: Path) -> None:
    choice = _choose(dataset, tmp_path)
    assert choice.mask.all()
    assert choice.origin.startswith("automatic")
    assert choice.files == ()


def test_air_gaps_and_zeros_are_left_out(dataset: Path, tmp_path: Path) -> None:
    for flip, value in ((1, 0.0), (2, np.nan), (3, 1.0)):
        path = dataset / "sub-01" / "anat" / f"sub-01_flip-{flip}_VFA.nii.gz"
        data = np.full(synth.SHAPE, 500.0)
        data[flip - 1, 0, 0] = value
        data[3] = 5.0
        synth.write_image(path, data)
    mask = _choose(dataset, tmp_path).mask.reshape(synth.SHAPE, order="F")
    assert not mask[3].any()
    assert [bool(mask[i, 0, 0]) for i in range(3)] == [False, False, True]
    assert mask[:3, 1:].all()


@pytest.mark.parametrize("snr", [20, 60])
def test_noisy_air_around_an_object_is_not_fitted(tmp_path: Path, snr: float) -> None:
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (32, 32, 8)], indexing="ij"))
    inside = (grid[0] ** 2 + grid[1] ** 2) < 0.6
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_vfa(root)
    for index in (1, 2, 3):
        noise = rng.normal(0, 1, (2, *inside.shape))
        image = np.hypot(snr * inside + noise[0], noise[1])
        synth.write_image(synth.place(root, "anat", f"sub-01_flip-{index}_VFA.nii.gz"), image)
    mask = _choose(root, tmp_path).mask.reshape(inside.shape, order="F")
    assert np.all(mask[inside])
    assert np.mean(mask[~inside]) < 0.03


def test_zeros_at_high_b_do_not_cost_a_voxel(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_tensor(root)
    path = root / "sub-01" / "dwi" / "sub-01_dwi.nii.gz"
    data = np.full((*synth.SHAPE, 13), 100.0)
    data[0, 0, 0, 5] = 0
    data[1, 0, 0, 0] = 0
    synth.write_image(path, data)
    mask = _choose(root, tmp_path).mask
    assert mask[0]
    assert not mask[1]


def test_a_given_mask_is_used_and_named(dataset: Path, tmp_path: Path) -> None:
    path = synth.add_mask(tmp_path / "m", "sub-01_desc-tissue", HALF)
    choice = _choose(dataset, tmp_path, derivatives={"masks": tmp_path / "m"})
    np.testing.assert_array_equal(choice.mask, HALF.ravel(order="F") > 0)
    assert choice.files == (path,)
    assert choice.origin == "given: sub-01_desc-tissue_mask.nii.gz"


def test_equally_good_masks_are_united(dataset: Path, tmp_path: Path) -> None:
    synth.add_mask(tmp_path / "m", "sub-01_desc-a", HALF)
    synth.add_mask(tmp_path / "m", "sub-01_desc-b", OTHER_HALF)
    choice = _choose(dataset, tmp_path, derivatives={"masks": tmp_path / "m"})
    assert choice.mask.all()
    assert "union of sub-01_desc-a_mask.nii.gz, sub-01_desc-b_mask.nii.gz" in choice.origin


@pytest.mark.parametrize(
    ("better", "worse", "datatype"),
    [
        ("sub-01_desc-brain", "sub-01_desc-tissue", "anat"),
        ("sub-01", "sub-01_run-2", "anat"),
        ("sub-01_desc-x", "sub-01_desc-brain", "dwi"),
    ],
)
def test_the_closest_mask_is_preferred(
    dataset: Path, tmp_path: Path, better: str, worse: str, datatype: str
) -> None:
    synth.add_mask(tmp_path / "m", better, HALF)
    synth.add_mask(tmp_path / "m", worse, np.ones(synth.SHAPE), datatype)
    choice = _choose(dataset, tmp_path, derivatives={"masks": tmp_path / "m"})
    assert choice.mask.sum() == 12


def test_a_mask_of_another_datatype_serves_on_the_same_grid(dataset: Path, tmp_path: Path) -> None:
    synth.add_mask(tmp_path / "m", "sub-01", HALF, "dwi")
    assert _choose(dataset, tmp_path, derivatives={"masks": tmp_path / "m"}).mask.sum() == 12


def test_a_brain_mask_of_another_dataset_comes_next(dataset: Path, tmp_path: Path) -> None:
    synth.add_mask(tmp_path / "prep", "sub-01_desc-brain", HALF)
    synth.add_mask(tmp_path / "prep", "sub-01_desc-lesion", OTHER_HALF)
    choice = _choose(dataset, tmp_path, derivatives={"prep": tmp_path / "prep"})
    assert choice.origin == "derivative dataset prep: sub-01_desc-brain_mask.nii.gz"


@pytest.mark.parametrize(
    ("names", "stripped"),
    [
        ([], False),
        (["sub-01_desc-brain"], True),
        (["sub-01_desc-brainstem"], False),
        (["sub-01_desc-nobrain"], False),
    ],
)
def test_only_a_brain_mask_strips_the_skull(
    dataset: Path, tmp_path: Path, names: list[str], stripped: bool
) -> None:
    synth.new_dataset(tmp_path / "m", "derivative")
    for name in names:
        synth.add_mask(tmp_path / "m", name, HALF)
    assert _choose(dataset, tmp_path, derivatives={"masks": tmp_path / "m"}).skull_stripped is stripped


@pytest.mark.parametrize("name", ["masks", "prep"])
def test_a_mask_of_another_run_is_not_used(tmp_path: Path, name: str) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_vfa(root, "sub-01_run-1")
    synth.add_mask(tmp_path / "m", "sub-01_run-2_desc-brain", HALF)
    assert _choose(root, tmp_path, derivatives={name: tmp_path / "m"}).files == ()
    own = synth.add_mask(tmp_path / "m", "sub-01_run-1_space-scanner_desc-brain", HALF)
    assert _choose(root, tmp_path, derivatives={name: tmp_path / "m"}).files == (own,)


def test_masks_are_filtered(dataset: Path, tmp_path: Path) -> None:
    synth.add_mask(tmp_path / "m", "sub-01_desc-a", HALF)
    synth.add_mask(tmp_path / "m", "sub-01_desc-b", OTHER_HALF)
    options = {"derivatives": {"masks": tmp_path / "m"}, "filters": {"mask": {"desc": "a"}}}
    assert _choose(dataset, tmp_path, **options).mask.sum() == 12


def test_a_participant_without_mask_gets_an_automatic_one_and_a_warning(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    synth.add_mask(tmp_path / "m", "sub-02", HALF)
    with caplog.at_level(logging.WARNING, "bids_qmri"):
        choice = _choose(dataset, tmp_path, derivatives={"masks": tmp_path / "m"})
    assert choice.origin.startswith("automatic")
    assert "no mask for sub-01" in caplog.text


def test_an_empty_mask_is_refused(dataset: Path, tmp_path: Path) -> None:
    path = synth.add_mask(tmp_path / "m", "sub-01", np.zeros(synth.SHAPE))
    with pytest.raises(InputError, match="holds no voxel") as caught:
        _choose(dataset, tmp_path, derivatives={"masks": tmp_path / "m"})
    assert caught.value.file == path


def test_a_mask_on_another_grid_is_refused(dataset: Path, tmp_path: Path) -> None:
    synth.add_mask(tmp_path / "m", "sub-01", np.ones((8, 6, 2)))
    with pytest.raises(InputError, match=r"8 x 6 x 2 voxels.*4 x 3 x 2"):
        _choose(dataset, tmp_path, derivatives={"masks": tmp_path / "m"})


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_an_image_without_signal_is_refused(dataset: Path, tmp_path: Path, value: float) -> None:
    for path in dataset.rglob("*VFA.nii.gz"):
        synth.write_image(path, np.full(synth.SHAPE, value))
    with pytest.raises(InputError, match="no voxel is finite and above 0"):
        _choose(dataset, tmp_path)


@pytest.mark.parametrize("shift", [0.004, 0.19])
def test_a_mask_that_is_off_by_less_than_a_tenth_of_a_voxel_is_used(
    dataset: Path, tmp_path: Path, shift: float
) -> None:
    masks = synth.new_dataset(tmp_path / "masks", "derivative")
    affine = synth.AFFINE.copy()
    affine[0, 3] += shift
    synth.write_image(masks / "sub-01/anat/sub-01_desc-brain_mask.nii.gz", HALF, affine)
    choice = _choose(dataset, tmp_path, derivatives={"masks": masks})
    np.testing.assert_array_equal(choice.mask, HALF.ravel(order="F") > 0)


@pytest.mark.parametrize("turn", [0.0, 0.2])
def test_a_mask_that_is_off_by_more_is_refused(dataset: Path, tmp_path: Path, turn: float) -> None:
    masks = synth.new_dataset(tmp_path / "masks", "derivative")
    affine = synth.AFFINE.copy()
    # A turn moves the corners alone.
    affine[1, 0] += turn
    affine[0, 3] += 0.0 if turn else 0.3
    synth.write_image(masks / "sub-01/anat/sub-01_desc-brain_mask.nii.gz", HALF, affine)
    with pytest.raises(InputError, match=r"sub-01_desc-brain_mask.nii.gz"):
        _choose(dataset, tmp_path, derivatives={"masks": masks})


@pytest.mark.parametrize("equal", [True, False])
def test_a_mask_of_several_volumes_is_used_if_they_are_the_same(
    dataset: Path, tmp_path: Path, equal: bool
) -> None:
    masks = synth.new_dataset(tmp_path / "masks", "derivative")
    volumes = np.stack([HALF, HALF if equal else OTHER_HALF], axis=-1)
    synth.write_image(masks / "sub-01/anat/sub-01_desc-brain_mask.nii.gz", volumes)
    if equal:
        choice = _choose(dataset, tmp_path, derivatives={"masks": masks})
        np.testing.assert_array_equal(choice.mask, HALF.ravel(order="F") > 0)
    else:
        with pytest.raises(InputError, match="2 volumes that differ"):
            _choose(dataset, tmp_path, derivatives={"masks": masks})


def test_a_mask_without_session_is_about_all_sessions(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_vfa(root, "sub-01_ses-1")
    masks = synth.new_dataset(tmp_path / "masks", "derivative")
    synth.add_mask(masks, "sub-01_desc-brain", HALF)
    choice = _choose(root, tmp_path, derivatives={"masks": masks})
    np.testing.assert_array_equal(choice.mask, HALF.ravel(order="F") > 0)
    # One of the session itself is nearer.
    synth.add_mask(masks, "sub-01_ses-1_desc-brain", OTHER_HALF)
    choice = _choose(root, tmp_path, derivatives={"masks": masks})
    np.testing.assert_array_equal(choice.mask, OTHER_HALF.ravel(order="F") > 0)


def test_brain_masks_go_before_others_and_have_an_old_name(dataset: Path, tmp_path: Path) -> None:
    masks = synth.new_dataset(tmp_path / "masks", "derivative")
    synth.add_mask(masks, "sub-01_desc-lesion", np.ones(synth.SHAPE))
    synth.write_image(masks / "sub-01/anat/sub-01_brainmask.nii.gz", HALF)
    for name in ("masks", "prep"):
        choice = _choose(dataset, tmp_path, derivatives={name: masks})
        assert choice.skull_stripped
        np.testing.assert_array_equal(choice.mask, HALF.ravel(order="F") > 0)


@pytest.mark.parametrize("kind", ["raw", "derivative"])
def test_masks_of_a_processed_dataset_hold_for_its_own_images(tmp_path: Path, kind: str) -> None:
    root = synth.new_dataset(tmp_path / "prep", kind)
    synth.add_tensor(root, "sub-01_space-T1w_desc-preproc")
    synth.add_mask(root, "sub-01_space-T1w_desc-brain", HALF, "dwi")
    assert _choose(root, tmp_path).skull_stripped is (kind == "derivative")
