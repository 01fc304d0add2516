"""Functions of compiled kernels are those of numpy and scipy, alone and inside sums in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

from bids_qmri.compiled import kernel, summing
from bids_qmri.physics import elementary
from bids_qmri.physics.noise import log_bessel_i0

RNG = np.random.default_rng(11)


@kernel
def total(x: Any) -> Any:
    found = 0.0
    for i in range(x.size):
        found += elementary.exp(x[i])
    return found


@summing
def total_in_any_order(x: Any) -> Any:
    found = 0.0
    for i in range(x.size):
        found += elementary.exp(x[i])
    return found


def each(function: Callable[[Any], Any], x: Any) -> Any:
    return np.array([function(value) for value in x], dtype=np.float64)


@pytest.mark.parametrize(("low", "high"), [(-700.0, 700.0), (-1.0, 1.0), (-1e-9, 1e-9)])
def test_exponential_of_doubles(low: float, high: float) -> None:
    x = RNG.uniform(low, high, 400)
    np.testing.assert_allclose(each(elementary.exp, x), np.exp(x), rtol=3e-14)


def test_exponential_ends_where_doubles_do() -> None:
    assert elementary.exp(-1e6) == pytest.approx(np.exp(elementary.LOWEST))
    assert np.isfinite(elementary.exp(1e6))


def test_exponential_of_singles() -> None:
    x = RNG.uniform(-80.0, 80.0, 400).astype(np.float32)
    np.testing.assert_allclose(each(elementary.exp_single, x), np.exp(x.astype(np.float64)), rtol=3e-7)


def test_logarithm_of_doubles() -> None:
    x = np.exp(RNG.uniform(-600.0, 600.0, 400))
    np.testing.assert_allclose(each(elementary.log, x), np.log(x), rtol=1e-13, atol=1e-13)


def test_logarithm_of_singles() -> None:
    x = np.exp(RNG.uniform(-60.0, 60.0, 400)).astype(np.float32)
    np.testing.assert_allclose(
        each(elementary.log_single, x), np.log(x.astype(np.float64)), rtol=1e-6, atol=1e-6
    )


def test_complementary_error_function() -> None:
    x = np.concatenate([[0.0], np.geomspace(1e-6, 1e8, 400)])
    np.testing.assert_allclose(each(elementary.erfcx, x), special.erfcx(x), rtol=1e-12)


def test_logarithm_of_the_bessel_function_less_its_argument() -> None:
    x = np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 400)])
    found = each(elementary.log_bessel_i0_less, x.astype(np.float32))
    np.testing.assert_allclose(found, log_bessel_i0(x) - x, atol=1.3e-4)


def test_sums_in_any_order_are_of_the_same_exponentials() -> None:
    # Were the functions themselves compiled for any order, their reduction of the argument would be lost.
    x = RNG.uniform(-30.0, 3.0, 1000)
    assert total_in_any_order(x) == pytest.approx(np.exp(x).sum(), rel=1e-13)
    assert total(x) == pytest.approx(np.exp(x).sum(), rel=1e-13)
