"""MP2RAGE: which images are magnitudes and phases, and what is said where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth
import synth_contrasts
from reading import edit, one, refused, registered, said


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    synth_contrasts.add_mp2rage(root)
    return root


def _unnamed(root: Path) -> None:
    """Name parts by acq-free runs of inversions, as converters do that write no part-."""
    for path in list((root / "sub-01" / "anat").iterdir()):
        name = path.name.replace("_part-mag", "").replace("inv-1_part-phase", "echo-1_inv-1")
        path.rename(path.with_name(name.replace("inv-2_part-phase", "echo-1_inv-2")))


def test_nothing_is_said_of_images_that_are_alike(dataset: Path) -> None:
    assert one(dataset).notes == ("no B1+ map for these images: nominal flip angles are used",)


def test_phases_are_told_by_their_sidecars(dataset: Path) -> None:
    _unnamed(dataset)
    for index in (1, 2):
        edit(dataset, f"sub-01_inv-{index}_MP2RAGE", ImageType=["ORIGINAL", "PRIMARY", "M"])
        edit(dataset, f"sub-01_echo-1_inv-{index}_MP2RAGE", ImageType=["ORIGINAL", "PRIMARY", "P"])
    assert ["echo-1" in path.name for path in one(dataset).images] == [False, False, True, True]


@pytest.mark.parametrize(
    ("part", "word"), [("mag", "P"), ("phase", "M"), ("phase", "REAL"), ("mag", "T1 MAP")]
)
def test_a_name_that_the_sidecar_contradicts_is_refused(dataset: Path, part: str, word: str) -> None:
    edit(dataset, f"sub-01_inv-1_part-{part}_MP2RAGE", ImageType=["ORIGINAL", "PRIMARY", word])
    found = refused(dataset)
    assert found.error.field == "ImageType"
    assert "part-" in str(found.error)


def test_magnitudes_alone_are_named_and_nobody_fails(dataset: Path) -> None:
    for path in (dataset / "sub-01" / "anat").glob("*phase*"):
        path.unlink()
    found = refused(dataset)
    assert not found.fault
    assert "part-phase" in found.error.fix


def test_a_combined_image_without_timing_fails_nobody(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path)
    synth.write_image(root / "sub-01" / "anat" / "sub-01_UNIT1.nii.gz", np.ones(synth.SHAPE))
    found = refused(root)
    assert not found.fault
    assert "RepetitionTimePreparation" in found.error.needed


def test_listed_inversion_times_that_are_no_pair_are_refused_by_key(dataset: Path) -> None:
    edit(dataset, "sub-01_inv-1_part-mag_MP2RAGE", InversionTime=[0.8, 2.7, 4.0])
    assert refused(dataset).error.field == "InversionTime"


def test_what_differs_between_both_images_is_named(dataset: Path) -> None:
    for index, coil in ((1, "Head_32"), (2, "Body")):
        edit(dataset, f"sub-01_inv-{index}_part-mag_MP2RAGE", ReceiveCoilName=coil)
    assert said(one(dataset), "ReceiveCoilName: differs")


def test_only_magnitudes_are_brought_to_one_scale(dataset: Path) -> None:
    keys = {"PhilipsRescaleSlope": 1.0, "UsePhilipsFloatNotDisplayScaling": 0}
    for index, slope in ((1, 1e-3), (2, 4e-3)):
        edit(dataset, f"sub-01_inv-{index}_part-mag_MP2RAGE", PhilipsScaleSlope=slope, **keys)
    np.testing.assert_allclose(one(dataset).scale, [2.0, 0.5, 1.0, 1.0])


def test_preprocessed_images_replace_raw_ones_and_borrow_their_timing(dataset: Path, tmp_path: Path) -> None:
    found = one(dataset, derivatives=registered(dataset, tmp_path))
    assert all("desc-preproc" in path.name for path in found.images)
    np.testing.assert_allclose(found.protocol.inversion_time, [0.8, 2.7])


def test_a_denoised_combined_image_takes_the_timing_of_the_raw_ones(dataset: Path, tmp_path: Path) -> None:
    derived = synth.new_dataset(tmp_path / "denoised", "derivative")
    path = derived / "sub-01" / "anat" / "sub-01_desc-denoised_UNIT1.nii.gz"
    synth.write_image(
        path, np.linspace(-0.4, 0.4, np.prod(synth_contrasts.SHAPE)).reshape(synth_contrasts.SHAPE)
    )
    found = one(dataset, derivatives={"denoised": derived})
    assert [image.name for image in found.images] == [path.name]
    assert said(found, "used instead of")


def test_own_maps_in_a_dataset_of_derivatives_are_no_images(dataset: Path, tmp_path: Path) -> None:
    derived = synth.new_dataset(tmp_path / "own", "derivative")
    name = "sub-01_model-mp2rage_desc-lookup_UNIT1.nii.gz"
    synth.write_image(derived / "sub-01" / "anat" / name, np.zeros(synth_contrasts.SHAPE))
    assert not any("desc" in image.name for image in one(dataset, derivatives={"own": derived}).images)


def _all(root: Path, **keys: object) -> None:
    for path in (root / "sub-01" / "anat").glob("*.json"):
        synth.edit_json(path, **keys)


def test_times_that_lie_under_another_key_are_pointed_at(dataset: Path) -> None:
    _all(dataset, RepetitionTimePreparation=None, RepetitionTime=5.0)
    error = refused(dataset).error
    assert error.seen == "RepetitionTimePreparation missing"
    assert "RepetitionTime is 5: if that is the time between inversions, write it as" in error.fix


def test_the_time_between_inversions_under_the_key_of_excitations_is_said(dataset: Path) -> None:
    _all(dataset, RepetitionTimeExcitation=5.0)
    error = refused(dataset).error
    assert error.seen == "is 5"
    assert "if 5 s is the time between inversions, it belongs in RepetitionTimePreparation" in error.fix


def test_one_value_for_both_images_is_told_from_a_missing_one(tmp_path: Path, dataset: Path) -> None:
    edit(dataset, "sub-01_inv-2_part-mag_MP2RAGE", FlipAngle=None)
    seen = refused(dataset).error.seen
    assert seen == "FlipAngle is 4, and missing for sub-01_inv-2_part-mag_MP2RAGE.nii.gz"
    root = synth.new_dataset(tmp_path / "combined")
    synth_contrasts.add_uniform(root, synth_contrasts.body(0.6, 3.0), FlipAngle=4)
    assert refused(root).error.seen == "FlipAngle is 4, and one value for both images"


def test_inversions_in_the_wrong_order_are_refused(dataset: Path) -> None:
    for index, time in ((1, 2.7), (2, 0.8)):
        for part in ("mag", "phase"):
            edit(dataset, f"sub-01_inv-{index}_part-{part}_MP2RAGE", InversionTime=time)
    error = refused(dataset).error
    assert error.field == "InversionTime"
    assert error.seen == "is 2.7 of inv-1, and 0.8 in sub-01_inv-2_part-mag_MP2RAGE.json"
    assert "sub-01_inv-1_part-mag_MP2RAGE.json" in str(error.file)
    assert "exchange the two values" in error.fix


def test_a_train_of_one_excitation_is_doubted(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "combined")
    synth_contrasts.add_uniform(root, synth_contrasts.body(0.6, 3.0), NumberShots=1)
    assert said(one(root), "NumberShots: is 1", "unusual", "excitations of one train")


def test_magnitudes_under_the_name_of_phases_are_suggested(dataset: Path) -> None:
    folder = dataset / "sub-01" / "anat"
    for index in (1, 2):
        path = folder / f"sub-01_inv-{index}_part-phase_MP2RAGE.nii.gz"
        synth.write_image(
            path, np.linspace(2, 48, int(np.prod(synth_contrasts.SHAPE))).reshape(synth_contrasts.SHAPE)
        )
    error = refused(dataset).error
    assert error.seen == "values from 2 to 48"
    assert "exchange part-mag and part-phase" in error.fix
