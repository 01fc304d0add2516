"""Gradient tables in every layout, every damage named; and shells where there are shells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.bids.gradients import read_bvals, read_bvecs
from bids_qmri.errors import InputError
from bids_qmri.physics.shells import cluster_shells

BVALS = np.array([0.0, 1000, 1000, 1000])
BVECS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.6, 0, 0.8]])


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "x.txt"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "0 1000 1000 1000\n",
        "0\t1e3\t1000.0\t1000",
        "0, 1000, 1000, 1000\r\n",
        "0  1000   1000 1000 \n\n",
        "\ufeff0 1000 1000 1000",
        "0\n1000\n1000\n1000\n",
    ],
)
def test_b_values_are_read_in_every_layout(tmp_path: Path, text: str) -> None:
    np.testing.assert_array_equal(read_bvals(_write(tmp_path, text), 4), BVALS)


@pytest.mark.parametrize(("separator", "ending"), [(" ", "\n"), ("\t", "\r\n"), (",", "\n"), ("   ", " \n")])
@pytest.mark.parametrize("transposed", [True, False])
def test_directions_are_read_in_every_layout(
    tmp_path: Path, separator: str, ending: str, transposed: bool
) -> None:
    rows = BVECS.T if transposed else BVECS
    text = ending.join(separator.join(f"{value:g}" for value in row) for row in rows) + ending
    np.testing.assert_allclose(read_bvecs(_write(tmp_path, text), BVALS, 50), BVECS)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", "is empty"),
        ("0 1000 1000", "holds 3 b-values but the image has 4 volumes"),
        ("0 1000 nan 1000", "line 1 holds a value that is not finite"),
        ("0 1000 x 1000", "line 1: could not convert"),
        ("0 -5 1000 1000", "holds the b-value -5"),
        ("0 1e9 1e9 1e9", r"holds the b-value 1e\+09.*divide by 1e6"),
        ("0 1 1 1\n0 1 1 1\n0 1 1 1", "has 3 rows.*not the bvec"),
    ],
)
def test_impossible_b_values_are_named(tmp_path: Path, text: str, seen: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(InputError, match=seen) as caught:
        read_bvals(path, 4)
    assert caught.value.file == path


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("0 1 0\n0 0 1\n0 0 0", "holds 3 directions but the image has 4 volumes"),
        ("0 1 0 1\n0 0 1 0\n0 0 0", "has 3 rows of 3 or 4 numbers"),
        ("0 1 0 1\n0 0 1 0", "has 2 rows of 4 numbers"),
        ("0 1 0 0\n0 0 1 0\n0 0 0 0", r"volume 3 \(b = 1000\) has a direction of length 0"),
        ("0 1 0 1.5\n0 0 1 0\n0 0 0 0", "direction of length 1.5"),
        ("inf 1 0 1\n0 0 1 0\n0 0 0 0", "not finite.*0 0 0"),
    ],
)
def test_impossible_directions_are_named(tmp_path: Path, text: str, seen: str) -> None:
    with pytest.raises(InputError, match=seen):
        read_bvecs(_write(tmp_path, text), BVALS, 50)


def test_lengths_within_five_percent_are_made_one(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "x.txt", 1.04 * BVECS.T)
    read = read_bvecs(tmp_path / "x.txt", BVALS, 50)
    assert read is not None
    np.testing.assert_allclose(read, BVECS, atol=1e-12)


def test_images_up_to_the_threshold_need_no_direction(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "x.txt", BVECS.T)
    bvals = np.array([60.0, 1000, 1000, 1000])
    assert read_bvecs(tmp_path / "x.txt", bvals, 100) is not None
    with pytest.raises(InputError, match="--b0-threshold"):
        read_bvecs(tmp_path / "x.txt", bvals, 50)


def test_averages_over_directions_have_none(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "x.txt", 0 * BVECS.T)
    assert read_bvecs(tmp_path / "x.txt", BVALS, 50) is None


def test_jitter_makes_no_shells() -> None:
    bvals = np.r_[5, 0, 3, 990, 1005, 1010, 1990, 2005, 2010]
    with_zero = np.where(bvals < 50, 5, bvals)
    centres, index = cluster_shells(with_zero)
    np.testing.assert_allclose(centres, [5, 3005 / 3, 6005 / 3])
    assert index.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_groups_do_not_depend_on_the_order() -> None:
    bvals = np.repeat([0.0, 700, 2000], [3, 8, 9]) + np.tile([0, 2], 10)
    order = np.random.default_rng(3).permutation(bvals.size)
    _, index = cluster_shells(bvals)
    np.testing.assert_array_equal(cluster_shells(bvals[order])[1], index[order])


def test_one_b_value_is_one_group() -> None:
    centres, index = cluster_shells([1000, 1000])
    assert centres.tolist() == [1000]
    assert index.tolist() == [0, 0]


@pytest.mark.parametrize("bvals", [synth.IVIM_BVALS, (0, 1, 2, 5, 10, 20, 30, 40, 50, 75, 100)])
def test_low_b_values_of_perfusion_protocols_stay_apart(bvals: tuple[float, ...]) -> None:
    np.testing.assert_array_equal(cluster_shells(bvals)[0], np.unique(bvals))


def test_all_published_schemes_form_their_nominal_groups(shared_data: Path) -> None:
    for path in sorted((shared_data / "schemes").glob("*.bval")):
        bvals = np.loadtxt(path)
        nominal = np.unique(np.round(bvals, -2)) if "jitter" in path.name else np.unique(bvals)
        centres, index = cluster_shells(bvals)
        np.testing.assert_allclose(centres, nominal, atol=5, err_msg=path.name)
        np.testing.assert_allclose(centres[index], bvals, atol=15, err_msg=path.name)


def test_jittered_and_exact_schemes_have_the_same_groups(shared_data: Path) -> None:
    schemes = shared_data / "schemes"
    jittered, exact = (cluster_shells(np.loadtxt(schemes / f"hcp_like{x}.bval")) for x in ("_jitter", ""))
    np.testing.assert_array_equal(jittered[1], exact[1])


def test_a_grid_of_b_values_has_no_shells(shared_data: Path) -> None:
    bvals = np.loadtxt(shared_data / "bids-real" / "sub-dtigrid" / "dwi" / "sub-dtigrid_dwi.bval")
    centres, index = cluster_shells(bvals)
    assert centres.size == 0
    assert set(index) == {-1}
