"""Boxes, truths drawn from them, and targets in box units."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.physics.prior import EVEN, Bell, Prior
from bids_qmri.physics.sampling import log_uniform
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.training.curves import BoxRange, draw_truth, fix_some, random_box, table1_box, targets


def test_table_1_as_printed() -> None:
    assert table1_box(VFA) == {"t1": (0.1, 3.0)}
    assert table1_box(IVIM) == {"d": (0.35e-3, 3e-3), "dstar": (0.05, 0.1), "f": (0.03, 0.25)}
    box = table1_box(EXTENDED_TOFTS)
    assert (box["kep"], box["ve"], box["vp"]) == ((0.1, 2.0), (0.01, 0.7), (0.001, 0.05))


def test_random_boxes_reach_the_ends_of_their_ranges_and_stay_inside() -> None:
    rng = np.random.default_rng(0)
    ranges = {"t1": BoxRange((0.05, 0.5), (1.5, 6.0), logarithmic=True)}
    lower, upper = np.array([random_box(ranges, rng)["t1"] for _ in range(2000)]).T
    assert (lower.min(), lower.max()) == (pytest.approx(0.05), pytest.approx(0.5))
    assert (upper.min(), upper.max()) == (pytest.approx(1.5), pytest.approx(6.0))
    assert np.median(lower) == pytest.approx(np.sqrt(0.05 * 0.5), rel=0.1)
    widest = np.mean(np.isclose(lower, 0.05) & np.isclose(upper, 6.0))
    assert widest == pytest.approx((0.15 / 1.3) ** 2, abs=0.01)


def test_a_share_of_the_boxes_fixes_the_parameter_at_its_lowest_value() -> None:
    rng = np.random.default_rng(0)
    ranges = {"t0": BoxRange((0.0, 0.0), (3.0, 15.0), fixed=0.25)}
    fixed = [fix_some({"t0": (0.0, 10.0)}, ranges, rng) == {"t0": (0.0, 0.0)} for _ in range(2000)]
    assert np.mean(fixed) == pytest.approx(0.25, abs=0.03)


def test_truths_fill_the_box_evenly_and_amplitudes_their_range() -> None:
    rng = np.random.default_rng(0)
    theta = draw_truth(IVIM, table1_box(IVIM), EVEN, (0.5, 2.0), 20_000, rng)
    units, free = targets(IVIM, theta, table1_box(IVIM))
    assert free.all()
    np.testing.assert_allclose(
        np.quantile(units, [0.0, 0.25, 0.5, 0.75, 1.0], axis=1).T, [QUARTILES] * 3, atol=0.02
    )
    assert np.median(theta[3]) == pytest.approx(1.0, rel=0.02)
    assert 0.5 <= theta[3].min() < theta[3].max() <= 2.0


def test_truths_of_a_bell_lie_where_it_says_and_within_the_box() -> None:
    bell = Prior((("d", Bell(1.2e-3, 1e-4)), ("dstar", Bell(0.07, 0.2))))
    theta = draw_truth(IVIM, table1_box(IVIM), bell, (0.5, 2.0), 20_000, np.random.default_rng(0))
    # Of normal densities of widths 1, 2.2 and 6, three quarters have the first.
    assert np.median(theta[0]) == pytest.approx(1.2e-3, rel=0.01)
    assert np.median(np.log(theta[1] / 0.07)) == pytest.approx(0.0, abs=0.01)
    assert 0.56 < np.mean(np.abs(theta[0] - 1.2e-3) < 1e-4) < 0.62
    for values, (low, high) in zip(theta, table1_box(IVIM).values(), strict=False):
        assert low <= values.min() < values.max() <= high


QUARTILES = [0.0, 0.25, 0.5, 0.75, 1.0]


def test_derived_quantities_are_targets_between_the_corners_of_the_box() -> None:
    box = {"kep": (0.1, 2.0), "ve": (0.01, 0.7), "vp": (0.0, 0.0), "t0": (0.0, 10.0)}
    theta = np.array([[2.0, 0.1, 1.0], [0.7, 0.01, 0.5], [0.0, 0.0, 0.0], [0.0, 10.0, 5.0]])
    units, free = targets(EXTENDED_TOFTS, theta, box)
    assert free.tolist() == [True, True, False, True, True]
    np.testing.assert_allclose(units[4], [1.0, 0.0, (0.5 - 0.001) / (1.4 - 0.001)])
    np.testing.assert_array_equal(units[2], 0.5)


def test_log_uniform_has_as_many_values_in_every_decade() -> None:
    values = log_uniform((1.0, 1000.0), 30_000, np.random.default_rng(0))
    counts = np.histogram(values, [1, 10, 100, 1000])[0]
    np.testing.assert_allclose(counts, 10_000, rtol=0.04)
