"""Functions of kernels against scipy, over all that they may be given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import i0e, i1e

from bids_qmri.physics.noise import information_table, rician_information
from bids_qmri.units import FloatArray

numba = pytest.importorskip("numba")

from bids_qmri.estimators.compiled import bessel, functions, lanes  # noqa: E402

WIDTH = lanes.WIDTH


def apply(function: Any, given: FloatArray, count: int = 1) -> FloatArray:
    """Return what a function of lanes gives for numbers, whose count is a multiple of the lanes."""

    @numba.njit
    def run(x: Any, found: Any) -> None:
        for row in range(x.size // WIDTH):
            lanes.store(found, row, function(lanes.load(x, row)))

    found = np.empty_like(given)
    run(given, found)
    return found


def padded(values: FloatArray) -> FloatArray:
    return np.concatenate([values, np.ones(-values.size % WIDTH)])


@numba.njit
def _ratio(x: Any) -> Any:
    return bessel.bessel_ratio_and_log(x)[0]


@numba.njit
def _log_i0(x: Any) -> Any:
    return bessel.bessel_ratio_and_log(x)[1]


SPREAD = np.concatenate([[0.0], np.geomspace(1e-12, 1e6, 4000), np.linspace(7.9, 8.1, 801)])


@pytest.mark.parametrize(
    ("function", "peer", "given", "tolerance"),
    [
        (
            functions.exp,
            np.exp,
            np.concatenate([np.linspace(-707, 708, 9999), np.geomspace(1e-18, 1, 99)]),
            5e-16,
        ),
        (functions.log, np.log, np.geomspace(1e-300, 1e300, 9999), 5e-16),
        (functions.log, np.log, np.linspace(0.5, 2.5, 9999), 5e-16),
        (_ratio, lambda x: i1e(x) / i0e(x), SPREAD, 4e-14),
        (_log_i0, lambda x: np.log(i0e(x)) + x, SPREAD[SPREAD > 1e-2], 1e-9),
    ],
)
def test_values_are_those_of_scipy(
    function: Any, peer: Callable[[FloatArray], FloatArray], given: FloatArray, tolerance: float
) -> None:
    x = padded(given)
    np.testing.assert_allclose(apply(function, x), peer(x), rtol=tolerance, atol=1e-300)


def test_log_of_bessel_is_exact_where_it_is_near_zero() -> None:
    x = np.geomspace(1e-9, 1e-2, 800)
    np.testing.assert_allclose(apply(_log_i0, x), x**2 / 4 - x**4 / 64, atol=4e-15)


def test_ends_of_the_range() -> None:
    x = np.array([np.nan, np.inf, -np.inf, -800.0, 800.0, 0.0, -0.0, 709.0])
    expected = [np.nan, np.inf, 0.0, 0.0, np.inf, 1.0, 1.0, np.exp(709.0)]
    np.testing.assert_allclose(apply(functions.exp, x), expected, rtol=1e-15)
    x = np.array([np.nan, np.inf, -np.inf, -1.0, 0.0, 1.0, 1e-310, 1.0])
    found = apply(functions.log, x)
    assert np.all(np.isnan(found[[0, 1, 2, 3, 4, 6]]))
    assert np.all(found[[5, 7]] == 0.0)


def test_information_is_that_of_arrays() -> None:
    table = information_table()

    @numba.njit
    def information(x: Any) -> Any:
        return bessel.information(x, table)

    x = padded(np.concatenate([np.linspace(0, 20, 5000), [np.nan, 15.999999, 16.0, 1e9]]))
    np.testing.assert_allclose(apply(information, x), rician_information(x), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("seed", [1, 2])
def test_each_lane_is_computed_by_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.1, 20.0, 80)
    order = rng.permutation(80)
    for function in (functions.exp, functions.log, _ratio, _log_i0):
        np.testing.assert_array_equal(apply(function, x[order]), apply(function, x)[order])
