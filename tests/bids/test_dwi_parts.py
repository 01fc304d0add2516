"""Shells in several files, processed images and the raw ones that went into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.dataset import find
from bids_qmri.bids.volumes import open_images
from bids_qmri.workflows.applicability import choose_models

LOW, HIGH = (0, 0, *([1000] * 15)), (0, 0, *([2000] * 30))


def acquisitions(root: Path, **options: Any) -> list[Acquisition]:
    return [one for one in find(root, "01", ReadOptions(**options)) if isinstance(one, Acquisition)]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path / "raw")


def two_parts(root: Path, **differing: list[Any]) -> None:
    for index, bvals in enumerate((LOW, HIGH)):
        synth.add_tensor(root, f"sub-01_run-{index + 1}", bvals=bvals)
        keys = {key: values[index] for key, values in differing.items()}
        synth.edit_json(root / f"sub-01/dwi/sub-01_run-{index + 1}_dwi.json", MultipartID="dwi_1", **keys)


def test_parts_of_one_id_are_one_series(raw: Path, tmp_path: Path) -> None:
    two_parts(raw, PhaseEncodingDirection=["j", "j"], EchoTime=[0.08, 0.08])
    (found,) = acquisitions(raw)
    assert found.label == "sub-01"
    assert [path.name for path in found.images] == ["sub-01_run-1_dwi.nii.gz", "sub-01_run-2_dwi.nii.gz"]
    assert found.protocol is not None
    np.testing.assert_array_equal(found.protocol.values()["bvals"], [*LOW, *HIGH])
    assert {"dti", "dki", "noddi"} <= set(choose_models(found, ())[0])
    assert "MultipartID" in found.notes[0]
    with open_images(found, tmp_path) as series:
        expected = [np.asarray(nib.load(path).dataobj) for path in found.images]
        read = series.read(0, series.n_voxels)
        np.testing.assert_array_equal(
            read, np.concatenate([x.reshape(-1, x.shape[-1], order="F") for x in expected], axis=1)
        )
        np.testing.assert_array_equal(series.read(2, 5, [40, 3, 20]), read[2:5][:, [40, 3, 20]])


@pytest.mark.parametrize(
    ("key", "values"), [("PhaseEncodingDirection", ["j", "j-"]), ("EchoTime", [0.08, 0.1])]
)
def test_parts_that_differ_stay_apart_with_a_word(raw: Path, key: str, values: list[Any]) -> None:
    two_parts(raw, **{key: values})
    assert len(acquisitions(raw)) == 2
    [word] = [one for one in find(raw, "01") if isinstance(one, Unusable)]
    assert not word.fault
    assert word.error.field == "MultipartID"
    assert f"{key} is {values[0]} and {values[1]}" in str(word.error)


def prepared(tmp_path: Path, *series: tuple[str, tuple[float, ...]], name: str = "prep") -> dict[str, Path]:
    root = synth.new_dataset(tmp_path / name, "derivative")
    for prefix, bvals in series:
        synth.add_tensor(root, prefix, bvals=bvals)
    return {name: root}


def test_processed_files_of_one_grid_are_also_one_scheme(raw: Path, tmp_path: Path) -> None:
    parts = [("sub-01_acq-a_space-T1w_desc-preproc", LOW), ("sub-01_acq-b_space-T1w_desc-preproc", HIGH)]
    found = acquisitions(raw, derivatives=prepared(tmp_path, *parts))
    models = {one.label: choose_models(one, ())[0] for one in found}
    assert models["sub-01_acq-a_space-T1w"] == ["dti"]
    assert {"dki", "noddi"} <= set(models["sub-01_space-T1w"])


@pytest.mark.parametrize(
    ("raws", "processed", "left"),
    [
        # Merged runs: the union of the tables.
        ({"run-1": LOW, "run-2": HIGH}, LOW + HIGH, []),
        ({"run-1": LOW, "run-2": HIGH}, LOW, ["run-2"]),
        # A series whose b-values are not there did not go in.
        ({"": LOW, "acq-x": (0, 10, 20, 40, 100, 200, 400, 800)}, LOW, ["acq-x"]),
        # Opposite polarities that were averaged, and a b = 0 run that only served to find the field.
        ({"dir-AP": LOW, "dir-PA": LOW}, LOW, []),
        ({"dir-AP": LOW, "dir-PA": LOW[:2]}, LOW, ["dir-PA"]),
        # Of two alike, nobody knows which: both stay.
        ({"run-1": LOW, "run-2": LOW}, LOW, ["run-1", "run-2"]),
        # Volumes that were rejected, and b-values that were rounded.
        ({"": HIGH}, HIGH[:-2], []),
        ({"": (5, 0, *([1005] * 15))}, LOW, []),
    ],
)
def test_raw_series_are_replaced_where_tables_show_that_they_went_in(
    raw: Path, tmp_path: Path, raws: dict[str, Any], processed: Any, left: list[str]
) -> None:
    for entity, bvals in raws.items():
        synth.add_tensor(raw, "_".join(filter(None, ("sub-01", entity))), bvals=bvals)
    found = acquisitions(raw, derivatives=prepared(tmp_path, ("sub-01_desc-preproc", processed)))
    names = sorted(one.images[0].name for one in found)
    assert names == sorted(
        ["sub-01_desc-preproc_dwi.nii.gz", *(f"sub-01_{entity}_dwi.nii.gz" for entity in left)]
    )


def test_indices_are_numbers(raw: Path, tmp_path: Path) -> None:
    synth.add_tensor(raw, "sub-01_run-1", bvals=LOW)
    (found,) = acquisitions(raw, derivatives=prepared(tmp_path, ("sub-01_run-01_desc-preproc", LOW)))
    assert found.images[0].name == "sub-01_run-01_desc-preproc_dwi.nii.gz"


@pytest.mark.parametrize("desc", ["denoised", "designer", "eddy"])
def test_another_single_version_is_accepted(raw: Path, tmp_path: Path, desc: str) -> None:
    synth.add_tensor(raw, bvals=LOW)
    (found,) = acquisitions(raw, derivatives=prepared(tmp_path, (f"sub-01_desc-{desc}", LOW)))
    assert f"desc-{desc}" in found.images[0].name
    assert f"sub-01_desc-{desc}_dwi.nii.gz (desc-{desc}, not desc-preproc)" in found.notes[0]


def test_filters_of_raw_entities_do_not_hide_merged_images(raw: Path, tmp_path: Path) -> None:
    for way in ("AP", "PA"):
        synth.add_tensor(raw, f"sub-01_dir-{way}", bvals=LOW)
    options = {"filters": {"dwi": {"direction": "AP"}}}
    (found,) = acquisitions(raw, derivatives=prepared(tmp_path, ("sub-01_desc-preproc", LOW)), **options)
    assert found.images[0].name == "sub-01_desc-preproc_dwi.nii.gz"


def test_of_two_datasets_with_one_scan_the_first_is_used(raw: Path, tmp_path: Path) -> None:
    both = prepared(tmp_path, ("sub-01_desc-preproc", LOW), name="a")
    both |= prepared(tmp_path, ("sub-01_desc-preproc", LOW), name="b")
    (found,) = acquisitions(raw, derivatives=both)
    assert found.images[0].is_relative_to(both["a"])
    [word] = [one for one in find(raw, "01", ReadOptions(derivatives=both)) if isinstance(one, Unusable)]
    assert not word.fault
    assert "is not used: -d a has an image of the same scan" in str(word.error)


@pytest.mark.parametrize(
    ("series", "said"),
    [
        ([("sub-02_desc-preproc", LOW)], "no image of this participant (but of sub-02)"),
        ([("sub-01_desc-a", LOW), ("sub-01_desc-b", LOW)], "several versions"),
        ([], "no image of this participant (or of any)"),
    ],
)
def test_a_dataset_that_gives_nothing_is_said(raw: Path, tmp_path: Path, series: Any, said: str) -> None:
    synth.add_tensor(raw, bvals=LOW)
    derivatives = prepared(tmp_path, *series)
    (found,) = acquisitions(raw, derivatives=derivatives)
    [note] = [note for note in found.notes if note.startswith("-d prep=")]
    assert said in note
    assert "needed: desc-preproc" in note


def test_masks_that_do_not_fit_are_said_and_those_that_do_are_not(raw: Path, tmp_path: Path) -> None:
    synth.add_tensor(raw, bvals=LOW)
    derivatives = prepared(tmp_path)
    synth.add_mask(derivatives["prep"], "sub-01_desc-brain", np.ones(synth.SHAPE), "anat")
    assert acquisitions(raw, derivatives=derivatives)[0].notes == ()
    synth.write_image(
        derivatives["prep"] / "sub-01/anat/sub-01_desc-brain_mask.nii.gz", np.ones((9, 9, 9)), np.eye(4)
    )
    assert (
        "masks on another grid (sub-01_desc-brain_mask.nii.gz)"
        in acquisitions(raw, derivatives=derivatives)[0].notes[0]
    )
