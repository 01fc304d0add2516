"""The nominal refocusing angle: believed, or said to be missing where it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth
import synth_contrasts
from reading import edit, one, refused, said

from bids_qmri.techniques.mese.protocol import SpinEchoProtocol


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path / "raw")


def test_the_angle_of_the_sidecar_is_believed(root: Path) -> None:
    synth_contrasts.add_mese(root)
    for index in range(1, 13):
        edit(root, f"sub-01_echo-{index}_MESE", RefocusingFlipAngle=150)
    protocol = one(root).protocol
    assert isinstance(protocol, SpinEchoProtocol)
    np.testing.assert_allclose(np.rad2deg(protocol.refocusing_angle), 150)
    assert protocol.spacing == pytest.approx(0.012)
    assert not one(root).notes


def test_a_missing_angle_is_said_with_file_key_and_fix(root: Path) -> None:
    synth_contrasts.add_mese(root)
    assert said(
        one(root), "RefocusingFlipAngle", "180 degrees", "sub-01_echo-1_MESE.json", "fix: add the key"
    )


def test_it_is_not_asked_for_where_no_stimulated_echoes_are_told(root: Path) -> None:
    synth_contrasts.add_echoes(root, "MESE", synth_contrasts.body(0.03, 0.15), [0.012, 0.02, 0.05, 0.08])
    assert not one(root).notes


@pytest.mark.parametrize("angle", [0, -180, 200])
def test_angles_that_cannot_be_are_refused(root: Path, angle: float) -> None:
    synth_contrasts.add_mese(root)
    for index in range(1, 13):
        edit(root, f"sub-01_echo-{index}_MESE", RefocusingFlipAngle=angle)
    assert refused(root).error.field == "RefocusingFlipAngle"
