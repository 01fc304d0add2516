"""Pictures survive the way through a file that another program reads."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from bids_qmri.reports.png import encode_indexed, encode_rgb

PALETTE = np.random.default_rng(1).integers(0, 256, (256, 3), dtype=np.uint8)


def decode(png: bytes) -> np.ndarray:
    return np.rint(255 * np.asarray(imread(io.BytesIO(png), format="png"))).astype(np.uint8)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (64, 65)])
def test_indices_come_back_as_colours_of_the_palette(shape: tuple[int, int], smooth: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pixels = np.broadcast_to(pixels[:1], shape) if smooth else pixels
    np.testing.assert_array_equal(decode(encode_indexed(pixels, PALETTE))[..., :3], PALETTE[pixels])


def test_index_0_can_be_transparent() -> None:
    decoded = decode(encode_indexed(np.array([[0, 1]], dtype=np.uint8), PALETTE, transparent=True))
    assert decoded[0, :, 3].tolist() == [0, 255]


def test_colours_come_back() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(encode_rgb(pixels))[..., :3], pixels)


def test_smooth_pictures_take_less_room_than_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    assert len(encode_indexed(smooth, PALETTE)) < 0.4 * len(encode_indexed(noise, PALETTE))
