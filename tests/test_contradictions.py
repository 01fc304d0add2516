"""What images say against their keys: warned about or refused, by name, before a map looks right."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth
import synth_contrasts as contrasts
from case_runs import Ran, run_command

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.transmit import DoubleAngle
from bids_qmri.techniques.mpm.protocol import MultiParameterProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path / "bids")


def run(root: Path) -> Ran:
    return run_command(root, root.parent, "--estimators", "lsq")


def change(root: Path, pattern: str, **keys: object) -> None:
    """Write other keys into the sidecars of images."""
    for path in root.rglob(pattern + ".json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def exchange(root: Path, on: str, off: str) -> None:
    """Let two images change their places; names and sidecars stay."""
    folder = root / "sub-01" / "anat"
    first, second = folder / f"{on}.nii.gz", folder / f"{off}.nii.gz"
    kept = second.read_bytes()
    second.write_bytes(first.read_bytes())
    first.write_bytes(kept)


def said(ran: Ran) -> tuple[str, str, str]:
    """Return log, sidecars and page."""
    sidecars = "".join(path.read_text() for path in ran.folder.rglob("*_T1map.json"))
    sidecars += "".join(path.read_text() for path in ran.folder.rglob("*_MTRmap.json"))
    return ran.printed, sidecars, (ran.folder / "sub-01.html").read_text()


def test_a_pulse_that_makes_tissue_brighter_is_named(root: Path) -> None:
    contrasts.add_mtr(root)
    exchange(root, "sub-01_mt-on_MTR", "sub-01_mt-off_MTR")
    for place in said(run(root)):
        assert "images with an MT pulse are brighter" in place


def test_so_is_one_of_three_weightings(root: Path) -> None:
    contrasts.add_mt_series(root, "MTS", (0.0023,))
    exchange(root, "sub-01_flip-1_mt-on_MTS", "sub-01_flip-2_mt-off_MTS")
    exchange(root, "sub-01_flip-1_mt-on_MTS", "sub-01_flip-3_mt-off_MTS")
    assert all("MTState" in place for place in said(run(root)))


def test_nothing_is_said_of_true_pulses(root: Path) -> None:
    contrasts.add_mtr(root)
    contrasts.add_mt_series(root, "MTS", (0.0023,))
    contrasts.add_mt_series(root, "MPM")
    assert not any("MTState:" in place for place in said(run(root)))


def test_two_images_of_one_inversion_time_that_differ(root: Path) -> None:
    contrasts.add_irt1(root)
    change(root, "*_inv-6_IRT1", InversionTime=0.05)
    for place in said(run(root)):
        assert "images 0 and 1 (counted from 0) have one setting" in place


def test_repeats_are_no_contradiction(root: Path) -> None:
    contrasts.add_irt1(root, (0.05, 0.05, 0.3, 1.0, 1.6, 2.5))
    assert not any("have one setting" in place for place in said(run(root)))


def test_labels_that_run_against_times_and_angles_are_named(root: Path) -> None:
    contrasts.add_irt1(root)
    change(root, "*_inv-2_IRT1", InversionTime=2.5)
    change(root, "*_inv-6_IRT1", InversionTime=0.3)
    contrasts.add_mt_series(root, "MPM")
    change(root, "*_echo-4_flip-2_mt-off_MPM", FlipAngle=21)
    for place in said(run(root)):
        assert "inv-2 has 2.5 s and inv-3 0.6 s" in place
        assert "images of one label, flip-2, have 6 and 21 degrees" in place


@pytest.mark.parametrize("kind", ["phase", "signed"])
def test_values_below_zero_are_no_magnitudes(root: Path, kind: str) -> None:
    contrasts.add_irt1(root)
    rng = np.random.default_rng(3)
    truth = contrasts.body(0.4, 1.8)
    for path in root.rglob("*_IRT1.nii.gz"):
        time = json.loads(Path(str(path).replace(".nii.gz", ".json")).read_text())["InversionTime"]
        signed = contrasts.whole(1000 * (1 - 1.8 * np.exp(-time / truth)))
        signed += 2 * rng.normal(size=contrasts.SHAPE)
        phase = rng.uniform(-4096, 4095, contrasts.SHAPE)
        nib.save(nib.Nifti1Image(phase if kind == "phase" else signed, synth.AFFINE), path)
    ran = run(root)
    assert not list(ran.folder.rglob("*_T1map.nii.gz"))
    assert "IRT1.nii.gz: ImageType: " in ran.printed
    assert "below 0" in ran.printed
    assert "below 0" in (ran.folder / "sub-01.html").read_text()


def test_noise_about_zero_in_air_is_no_contradiction(root: Path) -> None:
    contrasts.add_irt1(root)
    rng = np.random.default_rng(3)
    for path in root.rglob("*_IRT1.nii.gz"):
        image = nib.Nifti1Image.from_bytes(nib.load(path).to_bytes())
        air = np.where(contrasts.whole(np.ones((12, 12, 3))) > 0, 0, 2 * rng.normal(size=contrasts.SHAPE))
        nib.save(nib.Nifti1Image(image.get_fdata() * (air == 0) + air, image.affine), path)
    assert list(run(root).folder.rglob("*_T1map.nii.gz"))


@pytest.mark.parametrize(
    "make",
    [
        lambda angles: VfaProtocol(angles[:2], np.array(0.015)),
        lambda angles: MultiParameterProtocol(angles[:2], 0.025, 0.002, 0.0),  # type: ignore[arg-type]
        lambda angles: DoubleAngle(angles[2:]),
    ],
)
def test_radians_in_place_of_degrees_are_refused_with_what_to_write(make: type[Protocol]) -> None:
    told = np.deg2rad([4.0, 20.0, 60.0, 120.0])
    make(told)
    with pytest.raises(InputError) as caught:
        make(np.deg2rad(told))
    assert caught.value.field == "FlipAngle"
    assert "120.0" in str(caught.value) or "20.0" in str(caught.value)
