"""Directions point where the fibres do, whatever the orientation of the image; derived maps follow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_qmri.estimation.blocks import ImageMaps
from bids_qmri.techniques.noddi.maps import along_image_axes, complete
from bids_qmri.techniques.noddi.model import COMPONENTS

AFFINES = [np.diag([2.0, 2, 3, 1]), np.diag([-2.0, 2, 3, 1]), np.diag([2.0, -2, 3, 1])]


def rotation(seed: int) -> np.ndarray:
    turned, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return turned * np.sign(np.linalg.det(turned))


def in_gradient_frame(world: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return a direction in the scanner as a BIDS gradient table writes it."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    along = axes.T @ world
    return along * [-1, 1, 1] if np.linalg.det(axes) > 0 else along


@pytest.mark.parametrize("affine", AFFINES)
@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_known_direction_comes_back_along_the_axes_of_the_image(affine: np.ndarray, seed: int) -> None:
    oblique = affine.copy()
    oblique[:3, :3] = rotation(seed) @ affine[:3, :3]
    world = rotation(seed + 1)[0]
    read = in_gradient_frame(world, oblique)[None].astype(np.float32)
    found = along_image_axes(read, oblique)[0]
    back = oblique[:3, :3] / np.linalg.norm(oblique[:3, :3], axis=0) @ found
    assert abs(back @ world) == pytest.approx(1, abs=1e-6)
    assert found[2] >= 0


def fitted() -> ImageMaps:
    """Return three voxels: one estimated, one that failed, one outside the mask."""
    values = {"ndi": 0.6, "odi": 0.2, "fwf": 0.25, **dict(zip(COMPONENTS, (0.6, 0, -0.8), strict=True))}
    maps = {name: np.array([value, np.nan, 0], dtype=np.float32) for name, value in values.items()}
    return ImageMaps(maps, {}, np.zeros(3, np.float32), np.array([1, 4, 0], np.uint8))


def test_weighted_maps_are_the_maps_times_the_tissue_fraction() -> None:
    maps = complete(fitted(), AFFINES[1], None).maps
    np.testing.assert_allclose(maps["tf"], [0.75, np.nan, 0])
    np.testing.assert_allclose(maps["ndi_tf"], [0.45, np.nan, 0], rtol=1e-6)
    np.testing.assert_allclose(maps["odi_tf"], [0.15, np.nan, 0], rtol=1e-6)


def test_components_become_one_map_of_three_volumes() -> None:
    found = complete(fitted(), AFFINES[1], None)
    assert not set(COMPONENTS) & set(found.maps)
    np.testing.assert_allclose(
        found.directions["direction"], [[-0.6, 0, 0.8], [np.nan] * 3, [0, 0, 0]], atol=1e-7
    )


def test_the_noise_of_the_scan_is_a_map_inside_the_mask() -> None:
    np.testing.assert_array_equal(complete(fitted(), AFFINES[1], 7.5).maps["sigma"], [7.5, 7.5, 0])
    assert "sigma" not in complete(fitted(), AFFINES[1], None).maps


def test_networks_without_a_direction_write_none() -> None:
    found = fitted()
    for name in COMPONENTS:
        del found.maps[name]
    assert complete(found, AFFINES[0], None).directions == {}
