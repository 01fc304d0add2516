"""Series that moved are found where they were; those that did not stay. Needs elastix."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bids_qmri.alignment.groupwise import align
from bids_qmri.alignment.transforms import Transform, grid_points, resample
from bids_qmri.errors import InputError

pytest.importorskip("itk", reason="the extra align is not installed")

SHAPE = (36, 32, 24)
ZOOMS = np.array([3.0, 3.0, 4.0])
POINTS = grid_points(SHAPE)
CENTRE = (np.array(SHAPE) - 1) / 2


def phantom() -> np.ndarray:
    """Return an ellipsoid with texture, (x, y, z), blurred as scanners do."""
    rng = np.random.default_rng(3)
    radius = np.linalg.norm((POINTS.T - CENTRE) / (0.36 * np.array(SHAPE)), axis=1).reshape(SHAPE, order="F")
    texture = gaussian_filter(rng.standard_normal(SHAPE), 2.0)
    return gaussian_filter(np.where(radius < 1, 1 + 0.4 * texture / texture.std(), 0.0), 0.7)


def series(transforms: list[Transform], snr: float = 40.0) -> np.ndarray:
    """Return images of decaying contrast, each moved, with noise, (x, y, z, N)."""
    rng = np.random.default_rng(4)
    first = phantom()
    rate = 0.3 + 0.2 * first
    images = [resample((first * np.exp(-rate * i)).astype(np.float32), t) for i, t in enumerate(transforms)]
    noisy = [np.nan_to_num(image) + rng.standard_normal(SHAPE) / snr for image in images]
    return np.abs(np.stack(noisy, axis=-1)).astype(np.float32)


def rigid(angle: float, *voxels: float) -> Transform:
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = CENTRE - matrix[:3, :3] @ CENTRE + np.array(voxels)
    return Transform(matrix)


STILL = [rigid(0.0, 0, 0, 0)] * 5
MOVED = [
    rigid(0, 0, 0, 0),
    rigid(0.05, 1.0, 0, 0),
    rigid(-0.03, 0, -1.2, 0.4),
    rigid(0, 0.5, 0.5, -0.6),
    rigid(0.04, -1, 1, 0),
]


def error(found: tuple[Transform, ...], true: list[Transform], reference: int = 0) -> float:
    """Return the root mean square distance in voxels inside the object, the reference apart."""
    inside = POINTS[:, (phantom() > 0.5).ravel(order="F")]
    place = true[reference].at(inside)
    away = [
        t.at(f.at(inside)) - place for i, (f, t) in enumerate(zip(found, true, strict=True)) if i != reference
    ]
    return float(np.sqrt(np.square(away).sum(axis=1).mean()))


def aligned(images: np.ndarray, kind: str = "rigid", **more):
    return align(lambda i: images[..., i], images.shape[-1], ZOOMS, kind, **more)


def test_rigid_motion_is_found_to_a_quarter_of_a_voxel_and_the_first_image_stays():
    images = series(MOVED)
    assert error(tuple(STILL), MOVED) > 1.0
    found = aligned(images)
    assert error(found.transforms, MOVED) < 0.25
    np.testing.assert_array_equal(found.transforms[0].matrix, np.eye(4))


@pytest.mark.parametrize("kind", ["rigid", "affine"])
def test_images_that_did_not_move_stay(kind):
    assert error(aligned(series(STILL), kind).transforms, STILL) < 0.25


def test_a_slice_that_did_not_move_is_not_bent():
    found = aligned(series(STILL)[:, :, 12:13], "bspline").transforms
    assert error(found, STILL) < 0.25


def test_smooth_bending_within_a_slice_is_found_by_splines():
    fall = np.clip(1 - np.indices((*SHAPE[:2], 1))[1] / SHAPE[1], 0, 1)
    bend = [
        Transform(np.eye(4), np.stack([0 * fall, a * fall, 0 * fall]).astype(np.float32))
        for a in (0, 1, 3, 2, 2)
    ]
    images = series([Transform(np.eye(4), np.broadcast_to(b.displacement, (3, *SHAPE))) for b in bend])
    found = aligned(images[:, :, 12:13], "bspline").transforms
    assert error(found, bend) < 0.5 * error(tuple(STILL), bend)


def test_another_reference_stays_where_it_is():
    images = series(MOVED)
    found = aligned(images, reference=2).transforms
    np.testing.assert_array_equal(found[2].matrix, np.eye(4))
    assert error(found, MOVED, reference=2) < 0.25


def test_results_are_the_same_again_and_for_any_number_of_threads():
    images = series(MOVED[:3])
    one, other = aligned(images).transforms, aligned(images, threads=2).transforms
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.matrix, b.matrix)


def test_an_empty_image_is_left_where_it_is_and_named():
    images = series(MOVED)
    images[..., 3] = 0.0
    found = aligned(images)
    assert found.empty == (3,)
    np.testing.assert_array_equal(found.transforms[3].matrix, np.eye(4))
    assert error((*found.transforms[:3], found.transforms[4]), [*MOVED[:3], MOVED[4]]) < 0.25


def test_one_voxel_that_is_not_finite_changes_little():
    images = series(MOVED)
    images[18, 16, 12, 1] = np.nan
    assert error(aligned(images).transforms, MOVED) < 0.25


def test_a_single_slice_moves_within_its_plane():
    flat = [rigid(0, 0, 0, 0), rigid(0.05, 1.0, 0, 0), rigid(-0.03, 0, -1.2, 0), rigid(0, 0.5, 0.5, 0)]
    images = series(flat)[:, :, 12:13]
    found = aligned(images).transforms
    assert all(t.matrix[2, 2] == 1 and t.matrix[2, 3] == 0 for t in found)
    assert error(found, flat) < 0.25


def test_large_series_are_registered_by_averages(monkeypatch):
    monkeypatch.setattr("bids_qmri.alignment.groupwise.MOST_VALUES", 10_000)
    monkeypatch.setattr("bids_qmri.alignment.groupwise.FEWEST_VOXELS", 16)
    assert error(aligned(series(MOVED)).transforms, MOVED) < 0.35


@pytest.mark.parametrize("kept", [1, 2])
def test_fewer_than_three_images_are_refused(kept):
    images = series(STILL)[..., :kept]
    with pytest.raises(InputError, match="3 or more"):
        aligned(images)


def test_an_empty_reference_is_refused():
    images = series(STILL)
    images[..., 0] = 0.0
    with pytest.raises(InputError, match="the reference, is empty"):
        aligned(images)


def test_a_registration_that_makes_images_less_alike_is_refused(monkeypatch):
    """What elastix finds is not taken on trust."""
    away = [rigid(0.0, 9.0 * (i % 2), 7.0 * (i % 3), 0) for i in range(5)]
    monkeypatch.setattr("bids_qmri.alignment.groupwise.register", lambda *more: away)
    with pytest.raises(InputError, match="less alike"):
        aligned(series(STILL))
