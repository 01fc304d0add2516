"""How far images moved, told without registration, and by the transforms of one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as moved_by

from bids_qmri.alignment.motion import (
    Motion,
    coarse,
    motion_of,
    rotation_angles,
    rotation_part,
    shift_between,
)
from bids_qmri.alignment.transforms import Transform

SHAPE = (60, 50, 40)
BLOB = gaussian_filter(np.random.default_rng(1).standard_normal(SHAPE), 4.0)
OBJECT = np.where(gaussian_filter(BLOB, 2.0) > 0, 100 + 3000 * BLOB, 0.0)
OBJECT[:8] = OBJECT[-8:] = OBJECT[:, :8] = OBJECT[:, -8:] = OBJECT[:, :, :8] = OBJECT[:, :, -8:] = 0.0


@pytest.mark.parametrize("voxels", [(0, 0, 0), (2, 0, 0), (-1, 3, 2), (0.5, -1.5, 0.0)])
def test_a_shift_is_found_to_a_tenth_of_an_averaged_voxel(voxels):
    rng = np.random.default_rng(2)
    first, factors = coarse(OBJECT + rng.standard_normal(SHAPE))
    image = moved_by(OBJECT, voxels, order=3) + rng.standard_normal(SHAPE)
    found = shift_between(first, coarse(image)[0]) * factors
    np.testing.assert_allclose(found, voxels, atol=0.2)


def test_another_contrast_does_not_look_like_motion():
    first, factors = coarse(OBJECT)
    other, _ = coarse(np.where(OBJECT > 0, 40 + 0.1 * OBJECT, 0.0))
    np.testing.assert_allclose(shift_between(first, other) * factors, 0, atol=0.2)


@pytest.mark.parametrize("make", [np.zeros_like, lambda image: np.random.default_rng(3).random(image.shape)])
def test_of_images_that_are_unlike_nothing_is_said(make):
    first, _ = coarse(OBJECT)
    assert np.isnan(shift_between(first, make(first))).all()


def test_nothing_is_looked_for_along_axes_of_few_voxels():
    first, image = (part[:, :, 16:24] for part in (OBJECT, moved_by(OBJECT, (0, 0, 2), order=1)))
    found = shift_between(coarse(first)[0], coarse(image)[0])
    assert np.isnan(found[2]) or found[2] == 0


def test_a_single_slice_has_no_third_direction():
    first, factors = coarse(OBJECT[:, :, 20:21])
    image, _ = coarse(moved_by(OBJECT[:, :, 20:21], (3, 0, 0), order=1))
    np.testing.assert_allclose(shift_between(first, image) * factors, (3, 0, 0), atol=0.3)


def test_framewise_displacement_is_that_of_power_et_al():
    """Sum of absolute changes; rotations as arcs at 50 mm."""
    motion = Motion(
        np.array([[0.0, 0, 0], [1, -1, 0], [1, -1, 0]]), np.array([[0.0, 0, 0], [0, 0, 0], [0.01, 0, 0]])
    )
    np.testing.assert_allclose(motion.framewise, [0, 2.0, 0.5])


def test_transforms_tell_translation_and_rotation():
    angle, zooms = 0.05, np.array([2.0, 2.0, 4.0])
    middle = (np.array(SHAPE) - 1) / 2
    turn = np.eye(4)
    # About the first axis, in mm: voxels are not cubes.
    turn[1:3, 1:3] = [[np.cos(angle), -2 * np.sin(angle)], [np.sin(angle) / 2, np.cos(angle)]]
    turn[:3, 3] = middle - turn[:3, :3] @ middle + np.array([1.0, 0, 0])
    found = motion_of((Transform(np.eye(4)), Transform(turn)), np.ones(SHAPE, dtype=bool), zooms)
    np.testing.assert_allclose(found.translation, [[0, 0, 0], [2.0, 0, 0]], atol=0.2)
    assert found.rotation is not None
    np.testing.assert_allclose(found.rotation, [[0, 0, 0], [angle, 0, 0]], atol=1e-6)


def test_the_nearest_rotation_leaves_out_stretching():
    angles = rotation_angles(rotation_part(np.diag([1.1, 0.9, 1.0, 1.0]), np.ones(3)))
    np.testing.assert_allclose(angles, 0, atol=1e-12)
