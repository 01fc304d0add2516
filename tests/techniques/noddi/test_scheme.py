"""Volumes of a scan find their place in a scheme, whatever their order, sign and common rotation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synth
from scipy.spatial.transform import Rotation

from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.noddi.scheme import ANGLE_TOLERANCE, volumes_of

SCHEMES = ("noddi_s1", "abcd_like", "ukb_like", "hcp_like", "clinical_2shell")


def two_shells(seed: int = 0) -> DiffusionProtocol:
    """Return 2 + 6 x 1000 + 12 x 2000, directions at random."""
    directions = np.random.default_rng(seed).standard_normal((20, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions[:2] = 0.0
    return DiffusionProtocol(np.repeat([0.0, 1000.0, 2000.0], [2, 6, 12]), directions)


def shuffled(scheme: DiffusionProtocol, rotation: np.ndarray) -> tuple[DiffusionProtocol, np.ndarray]:
    """Return a scheme in another order, rotated, some directions turned round, and the new order."""
    rng = np.random.default_rng(1)
    order, signs = rng.permutation(scheme.n_measurements), rng.choice([-1.0, 1.0], scheme.n_measurements)
    directions = (signs[:, None] * scheme.bvecs @ rotation.T)[order]
    return replace(scheme, bvals=scheme.bvals[order], bvecs=directions), order


def read(folder: Path, name: str) -> DiffusionProtocol:
    files = (folder / "schemes" / f"{name}.{kind}" for kind in ("bval", "bvec"))
    return DiffusionProtocol(*(np.loadtxt(file).T for file in files))


def test_a_scheme_is_itself() -> None:
    scheme = two_shells()
    assert np.array_equal(volumes_of(scheme, scheme), np.arange(20))


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("turned", [False, True])
def test_order_sign_and_rotation_do_not_matter(shared_data: Path, name: str, turned: bool) -> None:
    scheme = read(shared_data, name)
    rotation = Rotation.random(random_state=2).as_matrix() if turned else np.eye(3)
    scan, order = shuffled(scheme, rotation)
    weighted = ~scheme.b0_mask
    found = volumes_of(scheme, scan)
    assert np.array_equal(np.sort(found), np.arange(found.size))
    assert np.array_equal(order[found][weighted], np.flatnonzero(weighted))
    assert np.all(scan.b0_mask[found] == scheme.b0_mask)


def test_a_mirrored_table_is_the_same_scheme() -> None:
    scheme = two_shells()
    mirrored = replace(scheme, bvecs=scheme.bvecs * [-1.0, 1.0, 1.0])
    assert np.array_equal(volumes_of(scheme, mirrored)[2:], np.arange(2, 20))


def test_stored_b_values_vary_and_small_ones_count_as_zero(shared_data: Path) -> None:
    nominal, stored = (read(shared_data, name) for name in ("hcp_like", "hcp_like_jitter"))
    found = volumes_of(nominal, stored)
    assert np.array_equal(found[~nominal.b0_mask], np.flatnonzero(~nominal.b0_mask))


def test_one_direction_off_by_more_than_the_tolerance_is_refused() -> None:
    scheme = two_shells()
    for degrees, fits in ((0.5 * ANGLE_TOLERANCE, True), (3.0 * ANGLE_TOLERANCE, False)):
        moved = scheme.bvecs.copy()
        axis = np.cross(moved[7], [0.0, 0.0, 1.0])
        turn = Rotation.from_rotvec(np.deg2rad(degrees) * axis / np.linalg.norm(axis))
        moved[7] = turn.apply(moved[7])
        if fits:
            assert volumes_of(scheme, replace(scheme, bvecs=moved))[7] == 7
        else:
            with pytest.raises(InputError, match=r"bvecs: directions differ .* degrees"):
                volumes_of(scheme, replace(scheme, bvecs=moved))


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda b: b[1:], r"b = 0 \(1\), 1000 \(6\), 2000 \(12\)"),
        (lambda b: np.r_[b[:8], 3000.0 + 0 * b[8:]], r"b = 0 \(2\), 1000 \(6\), 3000 \(12\)"),
        (lambda b: b * 1.1, r"b = 0 \(2\), 1100 \(6\), 2200 \(12\)"),
        (lambda b: np.linspace(0.0, 2000.0, 20), r"b = 0 \(1\), "),
    ],
)
def test_other_b_values_are_refused_with_what_there_is_and_what_is_needed(change, seen: str) -> None:
    scheme = two_shells()
    bvals = change(scheme.bvals)
    scan = DiffusionProtocol(bvals, scheme.bvecs[-len(bvals) :])
    needed = r"needed: b = 0 \(2\), 1000 \(6\), 2000 \(12\).*any order; fix: train one"
    with pytest.raises(InputError, match=f"bvals: scan has {seen}.*{needed}"):
        volumes_of(scheme, scan, "train one")


def test_a_scan_without_directions_is_refused() -> None:
    with pytest.raises(InputError, match="bvecs: directions are not known"):
        volumes_of(two_shells(), replace(two_shells(), bvecs=None))


def test_other_directions_are_refused_even_where_no_rotation_can_be_found() -> None:
    scheme = two_shells()
    line = np.where(scheme.b0_mask[:, None], 0.0, [[0.0, 0.0, 1.0]])
    for scan in (two_shells(seed=3), replace(scheme, bvecs=line)):
        with pytest.raises(InputError, match="whichever way all of them are rotated and ordered"):
            volumes_of(scheme, scan)


@pytest.mark.parametrize("jitter", [-15.0, 15.0])
def test_jitter_of_scanners_does_not_make_another_scheme_of_low_shells(jitter: float) -> None:
    directions = synth.directions(24)
    bvals = np.r_[0.0, np.full(12, 300.0), np.full(12, 2000.0)]
    bvecs = np.vstack([np.zeros(3), directions])
    stored = bvals + np.where(bvals > 0, jitter, 5.0)
    found = volumes_of(DiffusionProtocol(bvals, bvecs), DiffusionProtocol(stored, bvecs))
    np.testing.assert_array_equal(found, np.arange(25))
