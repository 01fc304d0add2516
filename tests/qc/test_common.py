"""Estimators are compared on the voxels that all of them have."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bids_qmri.qc.common import common_metrics, common_voxels
from bids_qmri.qc.metrics import map_metrics

CODES = arrays(np.uint8, 30, elements=st.integers(0, 6))
KNOWN = arrays(np.bool_, 30)


@given(st.lists(st.tuples(CODES, KNOWN), min_size=1, max_size=4), st.randoms())
def test_neither_the_order_nor_a_repeated_estimator_changes_them(fits: list, random: object) -> None:
    values = np.arange(30.0)
    estimates = [(values, status, known) for status, known in fits]
    common = common_voxels(estimates)
    random.shuffle(estimates)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(common_voxels([*estimates, estimates[0]]), common)


@given(CODES, KNOWN, CODES)
def test_another_estimator_can_only_take_voxels_away(
    ours: np.ndarray, known: np.ndarray, theirs: np.ndarray
) -> None:
    values = np.arange(30.0)
    alone = common_voxels([(values, ours, known)])
    both = common_voxels([(values, ours, known), (values, theirs, None)])
    assert not np.any(both & ~alone)


@given(CODES, KNOWN)
def test_of_one_estimator_the_median_is_its_own(status: np.ndarray, known: np.ndarray) -> None:
    values = np.linspace(1, 2, 30)
    common = common_metrics(values, common_voxels([(values, status, known)]))
    own = map_metrics({"t1": values}, {}, values, status, determined={"t1": known})
    assert common["common_median"] == own["t1_median"]


def test_estimators_that_agree_have_one_median_however_differently_they_choose_voxels() -> None:
    truth = np.linspace(0.5, 3.0, 101)
    all_ok, upper = np.ones(101, np.uint8), np.where(truth > 1.5, 1, 4).astype(np.uint8)
    own = [map_metrics({"t1": truth}, {}, truth, codes)["t1_median"] for codes in (all_ok, upper)]
    assert own[0] != own[1]
    common = common_voxels([(truth, all_ok, None), (truth, upper, None)])
    assert common_metrics(truth, common) == {"common_median": own[1], "common_voxels": np.sum(truth > 1.5)}


def test_without_a_common_voxel_there_is_no_median() -> None:
    assert common_metrics(np.ones(3), np.zeros(3, bool)) == {"common_median": None, "common_voxels": 0}
