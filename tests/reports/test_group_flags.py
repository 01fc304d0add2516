"""Outliers are judged by median and median absolute deviation, each group by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bids_qmri.qc.definitions import metric_definitions
from bids_qmri.reports.group_flags import HIGH, JUDGED, LOW, find_outliers, robust_outliers

NUMBERS = arrays(np.float64, st.integers(5, 40), elements=st.floats(-100, 100))


def test_a_value_far_from_the_median_is_an_outlier() -> None:
    values = np.array([*range(9), 100.0])
    assert np.flatnonzero(robust_outliers(values, 3.5)).tolist() == [9]


def test_too_few_or_mostly_equal_values_have_none() -> None:
    assert not robust_outliers(np.array([1.0, 1.1, 1.2, 99.0]), 3.5).any()
    assert not robust_outliers(np.array([1.0] * 8 + [2.0]), 3.5).any()


@pytest.mark.parametrize(("side", "expected"), [(LOW, [0]), (HIGH, [10])])
def test_a_metric_with_a_bad_side_is_judged_to_that_side(side: int, expected: list[int]) -> None:
    values = np.array([-90.0, *range(9), 99.0])
    assert np.flatnonzero(robust_outliers(values, 3.5, side)).tolist() == expected


def test_missing_values_are_no_outliers_and_change_nothing() -> None:
    values = np.array([np.nan, *range(9), 100.0, np.nan])
    assert np.flatnonzero(robust_outliers(values, 3.5)).tolist() == [10]


def test_every_group_is_judged_by_itself() -> None:
    values = np.concatenate([np.arange(9.0), 1000 + np.arange(9.0)])
    found = find_outliers({"t1_median": values}, ["lsq"] * 9 + ["mle"] * 9, ["t1"])
    assert not found["t1_median"].any()
    mixed = np.append(values, 1004.0)
    found = find_outliers({"t1_median": mixed}, ["lsq"] * 9 + ["mle"] * 9 + ["lsq"], ["t1"])
    assert np.flatnonzero(found["t1_median"]).tolist() == [18]


def test_every_metric_that_is_judged_exists() -> None:
    assert set(JUDGED) <= set(metric_definitions({}, "1"))


@given(NUMBERS, st.floats(1, 10))
def test_outliers_do_not_depend_on_the_unit(values: np.ndarray, limit: float) -> None:
    np.testing.assert_array_equal(robust_outliers(2 * values, limit), robust_outliers(values, limit))


@given(NUMBERS, st.floats(1, 10))
def test_less_than_half_of_all_values_can_be_outliers(values: np.ndarray, limit: float) -> None:
    assert np.count_nonzero(robust_outliers(values, limit)) <= values.size / 2
