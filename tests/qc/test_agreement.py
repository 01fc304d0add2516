"""Bias and limits of agreement of two estimators."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.qc.agreement import agreement_metrics

OK = np.ones(1001, dtype=np.uint8)


def test_a_shift_is_the_bias_and_the_limits_hold_95_percent_of_the_differences() -> None:
    reference = np.linspace(1, 2, 1001)
    spread = np.linspace(-1, 1, 1001)
    found = agreement_metrics(reference + 0.5 + spread, OK, reference, OK)
    assert found["bias"] == pytest.approx(0.5)
    assert found["loa_low"] == pytest.approx(0.5 - 0.95)
    assert found["loa_high"] == pytest.approx(0.5 + 0.95)


def test_only_voxels_that_both_estimated_count() -> None:
    values, reference = np.array([1.0, 9.0, 9.0, np.nan]), np.array([2.0, 0.0, 0.0, 1.0])
    mine, other = np.array([2, 3, 1, 1], np.uint8), np.array([1, 1, 4, 1], np.uint8)
    assert agreement_metrics(values, mine, reference, other)["bias"] == -1.0


def test_only_voxels_in_which_the_data_determine_it_for_both_count() -> None:
    values, reference = np.array([1.0, 5.0, 9.0, 13.0]), np.zeros(4)
    ok, ours, theirs = (np.array(codes, np.uint8) for codes in ([1] * 4, [1, 1, 0, 0], [1, 0, 1, 0]))
    assert agreement_metrics(values, ok, reference, ok, ours, theirs)["bias"] == 1.0
    assert agreement_metrics(values, ok, reference, ok, ours)["bias"] == 3.0
    undetermined = np.full(4, 6, np.uint8)
    assert agreement_metrics(values, undetermined, reference, ok)["bias"] == 7.0


def test_without_a_common_voxel_there_is_no_agreement() -> None:
    values = np.ones(3)
    found = agreement_metrics(values, np.full(3, 1, np.uint8), values, np.full(3, 5, np.uint8))
    assert found == {"bias": None, "loa_low": None, "loa_high": None}
