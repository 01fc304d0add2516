"""The crosshair starts on a voxel that shows what most tissue is like."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.reports.sheets import lay_out
from bids_qmri.reports.start import find_start

SHAPE = (11, 9, 5)
MASK = np.ones(SHAPE, dtype=bool)


def voxel(place: list[int], affine: np.ndarray, mask: np.ndarray = MASK) -> tuple[int, ...]:
    """Return the voxel at a place of a sheet."""
    first, *steps = (np.array(step) for step in lay_out(mask, affine).geometry(SHAPE))
    return tuple((first + sum(many * step for many, step in zip(place, steps, strict=True))).tolist())


@pytest.mark.parametrize("flip", [1, -1])
def test_it_is_the_middle_where_all_are_alike(flip: int) -> None:
    affine = np.diag([flip, 1.0, 2.0, 1.0])
    place = find_start(lay_out(MASK, affine), MASK, np.ones(SHAPE), MASK)
    assert place is not None
    assert voxel(place, affine) == (5, 4, 2)


def test_it_is_a_good_voxel_with_a_usual_value_and_the_nearest_such() -> None:
    rng = np.random.default_rng(0)
    values, good = rng.normal(1.0, 0.2, SHAPE), rng.random(SHAPE) < 0.3
    values[5, 4, 2] = 40.0
    good[5, 4, 2] = True
    place = find_start(lay_out(MASK, np.eye(4)), MASK, values, good)
    assert place is not None
    found = voxel(place, np.eye(4))
    assert good[found]
    first, third = np.percentile(values[good], (25, 75))
    usual = good & (values >= first) & (values <= third)
    assert usual[found]
    apart = np.linalg.norm(np.argwhere(usual) - np.array([5, 4, 2]), axis=1)
    assert np.linalg.norm(np.array(found) - np.array([5, 4, 2])) == pytest.approx(apart.min())


def test_without_a_good_voxel_there_is_none() -> None:
    assert find_start(lay_out(MASK, np.eye(4)), MASK, np.ones(SHAPE), ~MASK) is None
