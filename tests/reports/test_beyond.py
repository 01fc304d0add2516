"""What colours cannot tell is carried as numbers, and comes back."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest

from bids_qmri.reports.beyond import pack_beyond
from bids_qmri.reports.colours import levels
from bids_qmri.reports.sheets import Sheet, lay_out

SHEET = lay_out(np.ones((7, 8, 3), dtype=bool), np.eye(4))


def carried(text: str, sheet: Sheet = SHEET) -> np.ndarray:
    """Return the values of a text by slice, row and column, NaN where none is carried."""
    plain = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    shape = sheet.cut(sheet.order).shape
    size = int(np.prod(shape))
    flags = np.unpackbits(plain[: -(-size // 8)])[:size].astype(bool)
    third, second, first = plain[-(-size // 8) :].reshape(3, -1)
    found = np.full(size, np.nan)
    found[flags] = np.stack([np.zeros_like(first), third, second, first], axis=-1).reshape(-1).view("<f4")
    return found.reshape(shape)


@pytest.mark.parametrize("size", [1e-9, 1.0, 3e7])
def test_values_beyond_the_range_come_back(size: float) -> None:
    volume = size * np.random.default_rng(0).standard_cauchy((7, 8, 3)).astype(np.float32)
    values = SHEET.fill(volume, 0.0)
    found = carried(pack_beyond(SHEET, levels(values, (-size, size)), values))
    beyond = np.abs(SHEET.cut(values)) > size
    assert beyond.sum() > 20
    np.testing.assert_allclose(found[beyond], SHEET.cut(values)[beyond], rtol=2.0**-16)


def test_what_the_colours_tell_is_not_carried() -> None:
    values = SHEET.fill(np.linspace(-1, 2, 168).reshape(7, 8, 3), 0.0)
    pixels = levels(values, (0.0, 1.0))
    inside = (SHEET.cut(pixels) > 1) & (SHEET.cut(pixels) < 254)
    np.testing.assert_array_equal(np.isnan(carried(pack_beyond(SHEET, pixels, values))), inside)


def test_a_map_inside_its_range_carries_nothing() -> None:
    values = SHEET.fill(np.full((7, 8, 3), 0.5), 0.0)
    assert pack_beyond(SHEET, levels(values, (-1.0, 1.0)), values) == ""


def test_voxels_without_a_value_are_not_carried() -> None:
    volume = np.full((7, 8, 3), 9.0)
    volume[:2], volume[2, 0] = np.nan, np.inf
    values = SHEET.fill(volume, 0.0)
    found = carried(pack_beyond(SHEET, levels(values, (-1.0, 1.0)), values))
    assert np.isfinite(found).sum() == np.isfinite(volume).sum() == (found == 9.0).sum()
