"""Directions that are not of length 1, or not there: what they mean, and what is advised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.bids.gradients import counted, read_bvals, read_bvecs, read_directions
from bids_qmri.errors import InputError

SHELLS = np.array([0.0] * 2 + [1000.0] * 10 + [2000.0] * 10)
VECTORS = np.vstack([np.zeros((2, 3)), synth.directions(10), synth.directions(10)])


def refused(folder: Path, bvals: np.ndarray, vectors: np.ndarray) -> str:
    np.savetxt(folder / "x.bvec", vectors.T)
    with pytest.raises(InputError) as caught:
        read_directions(folder / "x.bvec", bvals, 50, [])
    return str(caught.value)


@pytest.mark.parametrize(("nominal", "scale"), [(2000, 1.0), (1000, 2.0), (4000, 0.5)])
def test_lengths_that_encode_b_are_named_with_the_true_b(
    tmp_path: Path, nominal: float, scale: float
) -> None:
    lengths = np.sqrt(scale * SHELLS / 2000)
    said = refused(tmp_path, np.where(SHELLS > 0, nominal, 0), VECTORS * lengths[:, None])
    assert "x.bvec" in said
    assert "multiply b by length^2 (b = 1000, 2000 s/mm^2)" in said
    assert "unit vectors alone would leave wrong b-values" in said


def test_where_both_tell_of_shells_the_protocol_of_the_scanner_decides(tmp_path: Path) -> None:
    said = refused(tmp_path, SHELLS, VECTORS * np.sqrt(SHELLS / 2000)[:, None])
    assert "told twice" in said
    assert "if the bval file agrees with the protocol" in said


def test_one_slip_is_that_of_a_line(tmp_path: Path) -> None:
    vectors = VECTORS.copy()
    vectors[5] *= 0.3
    said = refused(tmp_path, SHELLS, vectors)
    assert "volume 5 (b = 1000) has a direction of length 0.3" in said
    assert "from the export" in said


def test_nan_is_no_direction_and_is_said(tmp_path: Path) -> None:
    vectors = VECTORS.copy()
    vectors[:2] = np.nan
    np.savetxt(tmp_path / "x.bvec", vectors.T)
    notes: list[str] = []
    read = read_directions(tmp_path / "x.bvec", SHELLS, 50, notes)
    np.testing.assert_allclose(read, VECTORS, atol=1e-12)
    assert "x.bvec: volumes 0-1 have the direction NaN" in notes[0]


def test_a_scheme_to_train_for_needs_every_direction(tmp_path: Path) -> None:
    vectors = VECTORS.copy()
    vectors[5] = 0
    np.savetxt(tmp_path / "x.bvec", vectors.T)
    with pytest.raises(InputError, match=r"volume 5 .* length 0"):
        read_bvecs(tmp_path / "x.bvec", SHELLS, 50)
    assert read_directions(tmp_path / "x.bvec", SHELLS, 50, []) is not None


@pytest.mark.parametrize("turned", [False, True])
def test_three_volumes_are_read_the_way_round_that_gives_lengths_of_one(tmp_path: Path, turned: bool) -> None:
    vectors = np.array([[0, 0, 0], [0.6, 0.8, 0], [0, 0.6, 0.8]])
    np.savetxt(tmp_path / "x.bvec", vectors if turned else vectors.T)
    read = read_directions(tmp_path / "x.bvec", np.array([0, 1000.0, 1000.0]), 50, [])
    np.testing.assert_allclose(read, vectors)


def test_comments_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.bval"
    path.write_text("# command_history: mrconvert\n0 1000 2000 # b\n")
    assert read_bvals(path, 3).tolist() == [0, 1000, 2000]


def test_volumes_are_counted_in_runs() -> None:
    assert counted(np.array([1, 1, 1, 0, 0, 1, 0, 1, 1], dtype=bool)) == "0-2, 5, 7-8"
