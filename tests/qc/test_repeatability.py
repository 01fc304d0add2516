"""Repeatability of simulated studies of known truth: intervals hold it as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.qc.repeatability import FEWEST, REPEATABILITY, repeatability, variation_of_voxels

SEED, STUDIES, SUBJECTS, MEAN = 20264, 1000, 20, 10.0


@pytest.mark.parametrize(("between", "within"), [(1.0, 0.3), (0.5, 0.5), (2.0, 0.2)])
def test_the_truth_is_in_the_intervals_of_95_percent(between: float, within: float) -> None:
    draw = np.random.default_rng(SEED)
    truth = {"wsd": within, "rc": REPEATABILITY * within, "icc": between**2 / (between**2 + within**2)}
    inside = dict.fromkeys(truth, 0)
    found = []
    for _ in range(STUDIES):
        people = draw.normal(MEAN, between, (SUBJECTS, 1))
        one = repeatability(list(people + draw.normal(0, within, (SUBJECTS, 2))))
        assert one is not None
        intervals = {"wsd": one.wsd_interval, "rc": one.rc_interval, "icc": one.icc_interval}
        for name, (low, high) in intervals.items():
            inside[name] += low <= truth[name] <= high
        found.append(one.icc)
    for name, count in inside.items():
        assert 0.93 <= count / STUDIES <= 0.97, name
    assert np.mean(found) == pytest.approx(truth["icc"], abs=0.03)


def test_values_by_hand() -> None:
    one = repeatability([np.array([1.0, 3.0]), np.array([4.0, 4.0]), np.array([6.0, 9.0, np.nan])])
    assert one is not None
    # Sums of squares within: 2, 0, 4.5, on 3 degrees of freedom.
    assert one.wsd == pytest.approx(np.sqrt(6.5 / 3))
    assert one.wcv == pytest.approx(np.sqrt((2 / 4 + 4.5 / 7.5**2) / 3))
    assert (one.subjects, one.measurements, one.mean) == (3, 6, pytest.approx(4.5))
    assert one.difference == pytest.approx(5 / 3)
    spread = 1.96 * np.std([2, 0, 3], ddof=1)
    assert one.limits == pytest.approx((5 / 3 - spread, 5 / 3 + spread))
    between = 2 * np.sum((np.array([2, 4, 7.5]) - 4.5) ** 2) / 2
    assert one.icc == pytest.approx((between - 6.5 / 3) / (between + 6.5 / 3))


def test_unequal_numbers_of_repeats_have_the_same_within_subject_spread() -> None:
    draw = np.random.default_rng(SEED)
    counts = draw.integers(2, 6, 2000)
    one = repeatability([draw.normal(draw.normal(5, 1), 0.4, count) for count in counts])
    assert one is not None
    assert one.wsd == pytest.approx(0.4, rel=0.02)
    assert one.icc == pytest.approx(1 / 1.16, abs=0.01)


def test_too_few_subjects_with_repeats_give_nothing() -> None:
    alone = [np.array([1.0]), np.array([2.0, np.nan]), *[np.array([1.0, 2.0])] * (FEWEST - 1)]
    assert repeatability(alone) is None
    assert repeatability([]) is None


def test_equal_values_have_no_correlation() -> None:
    one = repeatability([np.ones(2)] * 4)
    assert one is not None
    assert (one.wsd, one.wcv) == (0, 0)
    assert np.isnan(one.icc)


@pytest.mark.parametrize("repeats", [2, 3, 5])
def test_known_variation_is_found_in_every_voxel_in_the_mean_of_squares(repeats: int) -> None:
    """Halves of an image whose repeats scatter by 5 and 20 % of means that differ from voxel to voxel."""
    draw = np.random.default_rng(SEED)
    truth = np.repeat([0.05, 0.2], 40_000)
    mean = draw.uniform(5, 15, truth.size)
    values = mean * (1 + truth * draw.standard_normal((repeats, truth.size)))
    found = variation_of_voxels(values, np.ones(values.shape, dtype=bool))
    for wcv in (0.05, 0.2):
        half = found[truth == wcv]
        # The mean of few repeats scatters as well: wCV^2 / K of it, of which the square is in the ratio.
        assert np.sqrt(np.mean(half**2)) == pytest.approx(wcv, rel=0.01 + 3 * wcv**2 / repeats)


def test_a_voxel_needs_two_repeats_that_are_determined() -> None:
    values = np.array([[1.0, 1.0, np.nan, 1.0], [3.0, 3.0, 3.0, -1.0], [2.0, 9.0, 2.0, np.nan]])
    known = np.array([[True, True, True, True], [True, True, False, True], [True, False, True, True]])
    found = variation_of_voxels(values, known)
    assert found[:2] == pytest.approx([0.5, np.sqrt(2) / 2])
    assert np.isnan(found[2:]).all()
