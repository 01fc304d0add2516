"""MP2RAGE: images with phases, the combined image alone or with the second one, scales, timing."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth
import synth_contrasts
from reading import edit, one, refused, said

from bids_qmri.techniques.mp2rage.protocol import Mp2rageProtocol
from bids_qmri.techniques.mp2rage.settings import Images

KEYS = ("InversionTime", "FlipAngle", "NumberShots", "RepetitionTimeExcitation", "RepetitionTimePreparation")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path / "raw")


@pytest.fixture
def dataset(root: Path) -> Path:
    synth_contrasts.add_mp2rage(root)
    return root


def images(dataset: Path) -> list[Path]:
    return sorted((dataset / "sub-01" / "anat").glob("*.nii.gz"))


def names() -> list[str]:
    return [f"sub-01_inv-{i}_part-{part}_MP2RAGE" for i in (1, 2) for part in ("mag", "phase")]


def test_the_protocol_is_that_of_the_sidecars(dataset: Path) -> None:
    found = one(dataset)
    assert isinstance(found.protocol, Mp2rageProtocol)
    np.testing.assert_allclose(found.protocol.inversion_time, [0.8, 2.7])
    np.testing.assert_allclose(np.rad2deg(found.protocol.flip_angle), [4, 5])
    assert found.protocol.shots.tolist() == [80, 80]
    assert found.settings == Images(phase_scale=1.0)
    assert [path.name.split("_")[1:3] for path in found.images] == [
        ["inv-1", "part-mag"],
        ["inv-2", "part-mag"],
        ["inv-1", "part-phase"],
        ["inv-2", "part-phase"],
    ]
    assert said(found, "no B1+ map")


def test_two_numbers_of_shots_are_those_before_and_after_the_centre(dataset: Path) -> None:
    for name in names():
        edit(dataset, name, NumberShots=[60, 100])
    assert one(dataset).protocol.shots.tolist() == [60, 100]  # type: ignore[union-attr]


@pytest.mark.parametrize("missing", [KEYS, *((key,) for key in KEYS)])
def test_every_missing_key_is_named(dataset: Path, missing: tuple[str, ...]) -> None:
    for name in names():
        edit(dataset, name, **dict.fromkeys(missing))
    error = refused(dataset).error
    assert {key for key in KEYS if key in error.seen.split()} == set(missing)
    assert "sub-01_inv-1_part-mag_MP2RAGE" in str(error)
    assert "fix: add the keys" in str(error)


def test_milliseconds_are_refused_with_the_numbers_to_write(dataset: Path) -> None:
    for name, time in zip(names(), (800, 800, 2700, 2700), strict=True):
        edit(dataset, name, InversionTime=time, RepetitionTimeExcitation=7.0, RepetitionTimePreparation=6000)
    error = str(refused(dataset).error)
    assert "InversionTime: is 800 and 2700" in error
    assert "if it is in milliseconds, write 0.8 and 2.7" in error


def test_trains_that_overlap_are_refused(dataset: Path) -> None:
    for name in names():
        edit(dataset, name, NumberShots=300)
    error = str(refused(dataset).error)
    assert "excitations every 7 ms" in error
    assert "check NumberShots" in error


def test_magnitudes_alone_are_ambiguous(dataset: Path) -> None:
    for path in images(dataset):
        if "phase" in path.name:
            path.unlink()
    error = str(refused(dataset).error)
    assert "2 magnitude and 0 phase image(s), no UNIT1" in error
    assert "part-phase" in error


def test_magnitudes_with_the_combined_image_give_t1_without_error_bars(dataset: Path) -> None:
    for path in images(dataset):
        if "phase" in path.name:
            path.unlink()
    synth_contrasts.add_uniform(dataset, synth_contrasts.body(0.6, 3.0))
    found = one(dataset)
    assert [path.name for path in found.images] == [
        "sub-01_UNIT1.nii.gz",
        "sub-01_inv-2_part-mag_MP2RAGE.nii.gz",
    ]
    assert float(found.protocol.combined) == 2  # type: ignore[union-attr]
    assert said(found, "no phases of both images", "without error bars")


@pytest.mark.parametrize(("twelve_bits", "scale"), [(False, 1.0), (True, 4095.0)])
def test_the_combined_image_alone_in_both_scales(root: Path, twelve_bits: bool, scale: float) -> None:
    synth_contrasts.add_uniform(root, synth_contrasts.body(0.6, 3.0), twelve_bits)
    found = one(root)
    assert isinstance(found.settings, Images)
    assert found.settings.uniform_scale == scale
    assert said(found, "sub-01_UNIT1.nii.gz alone", "give a mask")
    assert float(found.protocol.combined) == 1  # type: ignore[union-attr]


def test_a_combined_image_of_another_scale_is_refused(root: Path) -> None:
    synth_contrasts.add_uniform(root, synth_contrasts.body(0.6, 3.0))
    path = root / "sub-01" / "anat" / "sub-01_UNIT1.nii.gz"
    synth.write_image(path, np.random.default_rng(0).uniform(0, 1, synth_contrasts.SHAPE))
    assert "from -0.5 to 0.5, or from 0 to 4095" in str(refused(root).error)


@pytest.mark.parametrize("scale", [4096 / (2 * np.pi), 180 / np.pi])
def test_phases_in_steps_of_a_scanner_or_in_degrees_give_the_same(dataset: Path, scale: float) -> None:
    for path in images(dataset):
        if "phase" in path.name:
            synth.write_image(path, scale * np.asarray(nib.load(path).dataobj))
    settings = one(dataset).settings
    assert isinstance(settings, Images)
    assert settings.phase_scale == pytest.approx(1 / scale, rel=1e-3)
