"""Sorting, averaging and binning of series."""

from __future__ import annotations

import numpy as np
import pytest
from dynamic import series
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_qmri.estimators.networks.condense import MAX_POINTS, condense
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol


def test_short_series_stay_as_they_are() -> None:
    protocol = DiffusionProtocol([0, 50, 400, 800], averages=[1, 3, 3, 6])
    signal = np.arange(8.0).reshape(4, 2)
    condensed = condense(signal, protocol)
    assert condensed.signal is signal
    assert condensed.protocol is protocol
    np.testing.assert_array_equal(condensed.weights, [1, 3, 3, 6])


def test_repeats_are_averaged_by_their_weights() -> None:
    protocol = DiffusionProtocol([400, 0, 400], averages=[1, 2, 3])
    condensed = condense(np.array([[4.0], [10.0], [8.0]]), protocol)
    np.testing.assert_allclose(condensed.signal[:, 0], [10.0, 7.0])
    np.testing.assert_allclose(condensed.protocol.bvals, [0, 400])
    np.testing.assert_allclose(condensed.weights, [2, 4])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0.0, 10.0, 50.0, 200.0, 800.0]), min_size=1, max_size=12))
def test_the_sum_of_all_images_is_kept(bvals: list[float]) -> None:
    signal = np.random.default_rng(0).random((len(bvals), 3))
    condensed = condense(signal, DiffusionProtocol(bvals))
    np.testing.assert_allclose(condensed.weights @ condensed.signal, signal.sum(axis=0))
    np.testing.assert_allclose(condensed.protocol.bvals, np.unique(bvals))


def test_flip_angles_of_every_voxel_are_sorted_together() -> None:
    protocol = VfaProtocol(np.deg2rad([20, 5, 10]), 0.01).with_b1(np.array([0.8, 1.2]))
    condensed = condense(np.array([[3.0, 3.0], [1.0, 1.0], [2.0, 2.0]]), protocol)
    np.testing.assert_allclose(condensed.signal[:, 0], [1, 2, 3])
    np.testing.assert_allclose(np.rad2deg(condensed.protocol.flip_angle[:, 1]), [6, 12, 24])


@pytest.mark.parametrize("step", [1.0, 2.0, 5.0, 8.0])
def test_long_dynamic_series_fill_the_bins(step: float) -> None:
    protocol = series(np.arange(0.0, 330.0, step))
    condensed = condense(np.ones((protocol.n_measurements, 1)), protocol)
    assert 28 <= condensed.weights.size <= MAX_POINTS
    assert condensed.weights.sum() == protocol.n_measurements
    assert np.all(np.diff(condensed.protocol.time) > 0)
    np.testing.assert_allclose(condensed.signal, 1.0)


def test_bins_are_narrow_at_arrival() -> None:
    time = np.arange(0.0, 300.0)
    protocol = DceProtocol(time, [0.0, 60.0, 61.0, 70.0, 400.0], [0.0, 0.0, 5.0, 2.0, 1.0])
    assert protocol.arrival == 61.0
    condensed = condense(np.ones((300, 1)), protocol)
    at_arrival = np.argmin(np.abs(condensed.protocol.time - 61.0))
    assert condensed.weights[at_arrival] <= 2
    assert condensed.weights[at_arrival] < condensed.weights[0]
    assert condensed.weights[at_arrival] < condensed.weights[-1]


def test_many_b_values_are_binned_with_their_neighbours() -> None:
    condensed = condense(np.arange(64.0)[:, None], DiffusionProtocol(np.arange(64.0) * 10))
    assert condensed.weights.size == MAX_POINTS
    np.testing.assert_allclose(condensed.protocol.bvals, condensed.signal[:, 0] * 10)


def test_condensing_twice_changes_nothing() -> None:
    protocol = series(np.arange(0.0, 300.0))
    once = condense(np.random.default_rng(1).random((300, 2)), protocol)
    again = condense(once.signal, once.protocol)
    assert again.signal is once.signal
