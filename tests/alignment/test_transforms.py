"""Places in other images: composition, inversion, interpolation, and what it does to noise."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.alignment.transforms import Transform, grid_points, noise_kept, relative_to, resample

SHAPE = (24, 20, 16)
POINTS = grid_points(SHAPE)
RNG = np.random.default_rng(0)


def shift(*voxels: float) -> Transform:
    matrix = np.eye(4)
    matrix[:3, 3] = voxels
    return Transform(matrix)


def turned(angle: float) -> Transform:
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return Transform(matrix)


def bent(amount: float) -> Transform:
    x, y, z = np.indices(SHAPE) / np.array(SHAPE).reshape(3, 1, 1, 1)
    field = amount * np.stack([np.sin(np.pi * y), np.sin(np.pi * z), np.sin(np.pi * x)])
    return Transform(np.eye(4), field.astype(np.float32))


def smooth_image() -> np.ndarray:
    x, y, z = np.indices(SHAPE)
    return (100 + 20 * np.sin(x / 4) + 15 * np.cos(y / 5) + 10 * np.sin(z / 4)).astype(np.float32)


def test_grid_points_run_along_the_first_axis_first():
    assert POINTS.shape == (3, np.prod(SHAPE))
    np.testing.assert_array_equal(POINTS[:, :2], [[0, 1], [0, 0], [0, 0]])


@pytest.mark.parametrize("make", [lambda: shift(1.5, -2, 0.5), lambda: turned(0.1), lambda: bent(1.5)])
def test_the_reference_stays_and_others_are_seen_from_it(make):
    """From the reference to the common grid and on to another image is the way from the reference to it."""
    first, other = make(), shift(0.7, 0.2, -1.0)
    found = relative_to([first, other], 0, SHAPE)
    np.testing.assert_array_equal(found[0].at(POINTS), POINTS)
    inner = POINTS[:, ((POINTS > 3) & (np.array(SHAPE) - 4 > POINTS.T).T).all(axis=0)]
    np.testing.assert_allclose(found[1].at(first.at(inner)), other.at(inner), atol=0.02)


def test_an_image_that_stays_is_returned_as_it_is():
    image = smooth_image()
    assert resample(image, shift(0, 0, 0)) is image


@pytest.mark.parametrize("voxels", [(3, 0, 0), (0, -2, 1)])
def test_a_shift_by_whole_voxels_moves_values_as_they_are(voxels):
    image = smooth_image()
    found = resample(image, shift(*voxels))
    inner = (slice(4, -4),) * 3
    expected = np.roll(image, [-v for v in voxels], axis=(0, 1, 2))
    np.testing.assert_allclose(found[inner], expected[inner], rtol=1e-4)


def test_a_smooth_image_keeps_its_values_between_voxels():
    x, y, z = np.indices(SHAPE)
    found = resample(smooth_image(), shift(0.4, 0.3, -0.2))
    x, y, z = x + 0.4, y + 0.3, z - 0.2
    expected = 100 + 20 * np.sin(x / 4) + 15 * np.cos(y / 5) + 10 * np.sin(z / 4)
    inner = (slice(3, -3),) * 3
    # Cubic splines of an object of 25 voxels a period, at an edge that is mirrored.
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.05)


def test_outside_the_field_of_view_nothing_is_known():
    found = resample(smooth_image(), shift(2.0, 0, 0))
    assert np.isnan(found[-2:]).all()
    assert np.isfinite(found[:-2]).all()


def test_values_never_fall_below_zero():
    image = np.zeros(SHAPE, dtype=np.float32)
    image[8:16] = 1000.0
    assert np.nanmin(resample(image, shift(0.5, 0.5, 0.5))) == 0.0


def test_a_voxel_that_is_not_finite_spoils_its_neighbours_alone():
    image = smooth_image()
    image[10, 10, 8] = np.nan
    found = resample(image, shift(0.5, 0, 0))
    assert np.flatnonzero(np.isnan(found[:-1])).size == 2


def test_a_single_slice_moves_within_its_plane():
    image = smooth_image()[:, :, :1]
    found = resample(image, shift(1.0, -1.0, 0.0))
    np.testing.assert_allclose(found[3:-3, 3:-3], image[4:-2, 2:-4], rtol=1e-4)


@pytest.mark.parametrize("voxels", [(0.5, 0, 0), (0.25, 0.25, 0), (0.5, 0.5, 0.5)])
def test_the_variance_of_noise_falls_as_predicted(voxels):
    noise = (100 + RNG.standard_normal((60, 60, 40))).astype(np.float32)
    inner = (slice(10, -10),) * 3
    measured = resample(noise, shift(*voxels))[inner].var()
    assert noise_kept(shift(*voxels), noise.shape) == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("voxels", [(0.5, 0, 0), (0.3, -0.4, 0.2)])
def test_holes_do_not_ring_into_voxels_that_are_kept(voxels):
    image = np.full(SHAPE, 1000.0, dtype=np.float32)
    image[:8] = np.nan
    image[15, 10, 8] = np.inf
    found = resample(image, shift(*voxels))
    assert np.isfinite(found).mean() > 0.5
    np.testing.assert_allclose(found[np.isfinite(found)], 1000.0, rtol=1e-6)


def test_an_image_of_holes_alone_stays_one():
    assert np.isnan(resample(np.full(SHAPE, np.nan, dtype=np.float32), shift(0.5, 0, 0))).all()
