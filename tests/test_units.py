"""Conversions are exact inverses, keep shapes, and never lose precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_qmri.units import degrees, radians


@pytest.mark.parametrize(("angle", "expected"), [(0, 0), (30, np.pi / 6), (180, np.pi), (-90, -np.pi / 2)])
def test_known_angles(angle: float, expected: float) -> None:
    assert radians(angle) == pytest.approx(expected, rel=1e-15)
    assert degrees(expected) == pytest.approx(angle, rel=1e-15)


@given(st.floats(-1e6, 1e6))
def test_there_and_back_is_the_same_angle(angle: float) -> None:
    assert degrees(radians(angle)) == pytest.approx(angle, rel=1e-15, abs=1e-300)


def test_whole_numbers_and_single_precision_become_double_of_the_same_shape() -> None:
    for angles in (np.array([[2, 10], [15, 20]]), np.ones((3, 1), dtype=np.float32)):
        assert radians(angles).dtype == np.float64
        assert radians(angles).shape == angles.shape


def test_what_is_not_a_number_stays_so() -> None:
    np.testing.assert_array_equal(radians([np.nan, np.inf]), [np.nan, np.inf])
