"""Exponential and logarithm of lanes, to the last digits of double precision. Source of kernels."""

from __future__ import annotations

from typing import Any

from numba import njit

from bids_qmri.estimators.compiled.lanes import (
    exponent,
    larger,
    mantissa,
    smaller,
    spread,
    times_power,
    where,
)

inline = njit(inline="never", error_model="numpy", nogil=True)
"""What functions of kernels are compiled with: LLVM, not numba, moves them into one another."""

LOG2E, ROUND = 1.4426950408889634, 6755399441055744.0
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LEAST, MOST = -708.0, 709.0
"""Ends of what exponents of normal numbers allow."""


@inline
def exp(x: Any) -> Any:
    """Return the exponential: below the smallest normal number 0, above the largest infinity."""
    inside = larger(smaller(x, spread(MOST)), spread(LEAST))
    shifted = inside * LOG2E + ROUND
    whole = shifted - ROUND
    r = inside - whole * LN2_HIGH - whole * LN2_LOW
    p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    value = times_power(p, shifted)
    value = where(x < LEAST, spread(0.0), value)
    return where(x > MOST, spread(float("inf")), value)


@inline
def log(x: Any) -> Any:
    """Return the natural logarithm of positive normal numbers; of others, something that is no number."""
    k, m = exponent(x), mantissa(x)
    high = m > 1.4142135623730951
    k, m = where(high, k + 1.0, k), where(high, m * 0.5, m)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = z * (1.0 / 23.0) + 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 0.2
    p = p * z + 1.0 / 3.0
    value = k * LN2_LOW + 2.0 * s * z * p + 2.0 * s + k * LN2_HIGH
    usable = (x > 2.3e-308) & (x < 1e308)
    return where(usable, value, spread(float("nan")))
