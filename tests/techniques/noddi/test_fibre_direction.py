"""The fibre direction lies along the least signal, wherever the axes of the image point."""

from __future__ import annotations

import numpy as np
import pytest
from multishell import random_axes, scan, spiral, two_shells

from bids_qmri.techniques.noddi.fibre_direction import form_weights, least_axis
from bids_qmri.techniques.noddi.model import noddi_signal
from bids_qmri.techniques.noddi.zonal import fit_zonal, sort_shells


def matrices(form: np.ndarray) -> np.ndarray:
    return np.moveaxis(form[[[0, 3, 4], [3, 1, 5], [4, 5, 2]]], -1, 0)


def test_least_axis_is_the_eigenvector_of_the_smallest_eigenvalue() -> None:
    form = np.random.default_rng(0).normal(size=(6, 500)) * np.geomspace(1e-8, 1e8, 500)
    expected = np.linalg.eigh(matrices(form))[1][:, :, 0].T
    np.testing.assert_allclose(np.abs(np.sum(least_axis(form) * expected, axis=0)), 1.0, atol=1e-9)


@pytest.mark.parametrize("form", [[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 1]])
def test_least_axis_is_a_least_unit_vector_where_there_are_several(form: list[float]) -> None:
    axis = least_axis(np.array([*form, 0, 0, 0], dtype=float)[:, None])[:, 0]
    assert np.linalg.norm(axis) == pytest.approx(1.0)
    assert axis**2 @ np.array(form) == pytest.approx(min(form))


def test_the_form_does_not_see_what_is_alike_in_all_directions() -> None:
    g = spiral(30)
    weights = form_weights(g, [np.arange(30)], np.array([1000.0]), 1.7e-3)
    np.testing.assert_allclose(weights @ np.ones(30), 0.0, atol=1e-9)
    np.testing.assert_allclose(weights[:3].sum(axis=0), 0.0, atol=1e-9)


def test_a_bundle_is_found_within_a_degree_without_noise() -> None:
    axes = random_axes(300, np.random.default_rng(1))
    protocol = two_shells()
    signal = noddi_signal(np.full(300, 0.6), np.full(300, 0.1), np.full(300, 0.1), axes, protocol).T
    found = fit_zonal(signal, sort_shells(protocol), 1.7e-3).direction
    angle = np.rad2deg(np.arccos(np.minimum(np.abs(np.sum(found.T * axes, axis=1)), 1.0)))
    assert np.max(angle) < 2.0
    assert np.median(angle) < 1.0


def test_at_snr_25_the_median_angle_is_below_four_degrees() -> None:
    protocol = two_shells()
    truth, axes, signal = scan(protocol, 4000, 25.0, fwf=0.5)
    found = fit_zonal(signal, sort_shells(protocol), 1.7e-3).direction
    angle = np.rad2deg(np.arccos(np.minimum(np.abs(np.sum(found.T * axes, axis=1)), 1.0)))
    assert np.median(angle[(truth[1] < 0.3) & (truth[0] > 0.2)]) < 4.0
