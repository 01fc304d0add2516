"""Exponential, logarithm and Bessel functions for compiled kernels, in a form that becomes vectors.

No branches and no calls into a library of mathematics: loops over arrays run on all lanes of the processor.
Imported by modules of kernels alone, since it loads the compiler.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from bids_qmri.compiled import kernel

LOWEST, HIGHEST = -708.0, 709.0
"""Exponents beyond which a double is not normal; results stay at these ends."""

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""ln 2 in two parts, the first with zeros at its end (Cody and Waite 1980): reduction without rounding."""

SHIFTER = 6755399441055744.0
"""1.5 * 2^52: adding it rounds to an integer, which then stands in the last bits."""

F: Any = np.float32
ONE, HALF, EIGHT, LARGEST = F(1.0), F(0.5), F(8.0), F(1e18)
BESSEL = tuple(F(c) for c in (-0.91905, -3.86361, 1.8576, -5.78783))
"""Coefficients of `estimators.posterior.problem.BESSEL`."""

B0, B1, B2, B3 = BESSEL
LN2_SINGLE = F(0.6931471805599453)
LOWEST_SINGLE, HIGHEST_SINGLE, SHIFTER_SINGLE = F(-87.0), F(88.0), F(12582912.0)
LOG2_E_SINGLE, LN2_HIGH_SINGLE, LN2_LOW_SINGLE = F(LOG2_E), F(0.693359375), F(-2.12194440e-4)
E3, E4, E5, E6 = F(1 / 6), F(1 / 24), F(1 / 120), F(1 / 720)
S3, S5, S7 = F(2.0 / 3.0), F(2.0 / 5.0), F(2.0 / 7.0)

ERFCX_SCALE = 3.0
ERFCX = (
    0.3580023023627668,
    0.29446481772296856,
    0.19674278570352877,
    0.1034890873217469,
    0.03984258703868844,
    0.008942411129286319,
    -0.00040413830593156883,
    -0.0010113504430098587,
    -0.00018277267140479612,
    9.224267554427917e-05,
    3.5861083220679386e-05,
    -1.008695380595976e-05,
    -5.833704006037476e-06,
    1.5056969920019348e-06,
    9.28246772594549e-07,
    -2.52504567826658e-07,
    -1.3571424655857838e-07,
    2.8096919154469796e-08,
    1.3218595840820726e-08,
)
"""Coefficients of erfcx(x) / t in powers of 2 t - 1, with t = 3 / (3 + x): off by 1e-13 of itself at most."""


@intrinsic  # type: ignore[untyped-decorator]
def _bits_of(typing: Any, value: Any) -> Any:
    """Return the bits of a double as an integer."""
    return types.int64(types.float64), lambda _, b, __, args: b.bitcast(args[0], ir.IntType(64))


@intrinsic  # type: ignore[untyped-decorator]
def _double_of(typing: Any, bits: Any) -> Any:
    """Return the double that an integer holds the bits of."""
    return types.float64(types.int64), lambda _, b, __, args: b.bitcast(args[0], ir.DoubleType())


@intrinsic  # type: ignore[untyped-decorator]
def _bits_of_single(typing: Any, value: Any) -> Any:
    """Return the bits of a single as an integer."""
    return types.int32(types.float32), lambda _, b, __, args: b.bitcast(args[0], ir.IntType(32))


@intrinsic  # type: ignore[untyped-decorator]
def _single_of(typing: Any, bits: Any) -> Any:
    """Return the single that an integer holds the bits of."""
    return types.float32(types.int32), lambda _, b, __, args: b.bitcast(args[0], ir.FloatType())


bits_of: Any = _bits_of
double_of: Any = _double_of
bits_of_single: Any = _bits_of_single
single_of: Any = _single_of


@kernel
def exp(x: float) -> float:
    """Return e^x of a double, off by 1e-14 of itself."""
    x = x if x > LOWEST else LOWEST
    x = x if x < HIGHEST else HIGHEST
    shifted = x * LOG2_E + SHIFTER
    whole = shifted - SHIFTER
    r = (x - whole * LN2_HIGH) - whole * LN2_LOW
    # Estrin's scheme: short chains of operations that wait for one another.
    s = r * r
    low = (1.0 + r) + s * (0.5 + r * (1.0 / 6.0))
    middle = (1.0 / 24.0 + r * (1.0 / 120.0)) + s * (1.0 / 720.0 + r * (1.0 / 5040.0))
    high = (1.0 / 40320.0 + r * (1.0 / 362880.0)) + s * (1.0 / 3628800.0 + r * (1.0 / 39916800.0))
    q = s * s
    power: float = double_of((bits_of(shifted) + 1023) << 52)
    return (low + q * (middle + q * high)) * power


@kernel
def log(x: float) -> float:
    """Return ln x of a normal positive double, off by 1e-13 of itself, of 1 near 1."""
    bits = bits_of(x)
    # The exponent that leaves a fraction between 0.707 and 1.414.
    exponent = (bits - 4604544271217802189) >> 52
    m = double_of(bits - (exponent << 52))
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    p = 2.0 / 15.0
    p = p * q + 2.0 / 13.0
    p = p * q + 2.0 / 11.0
    p = p * q + 2.0 / 9.0
    p = p * q + 2.0 / 7.0
    p = p * q + 2.0 / 5.0
    p = p * q + 2.0 / 3.0
    p = p * q + 2.0
    found: float = exponent * 0.6931471805599453 + s * p
    return found


@kernel
def exp_single(x: Any) -> Any:
    """Return e^x of a single, off by 2e-7 of itself."""
    x = x if x > LOWEST_SINGLE else LOWEST_SINGLE
    x = x if x < HIGHEST_SINGLE else HIGHEST_SINGLE
    shifted = x * LOG2_E_SINGLE + SHIFTER_SINGLE
    whole = shifted - SHIFTER_SINGLE
    r = (x - whole * LN2_HIGH_SINGLE) - whole * LN2_LOW_SINGLE
    p = E6
    p = p * r + E5
    p = p * r + E4
    p = p * r + E3
    p = p * r + HALF
    p = p * r + ONE
    p = p * r + ONE
    return p * single_of((bits_of_single(shifted) + np.int32(127)) << np.int32(23))


@kernel
def log_single(x: Any) -> Any:
    """Return ln x of a normal positive single, off by 1e-6."""
    bits = bits_of_single(x)
    exponent = (bits - np.int32(1060439283)) >> np.int32(23)
    m = single_of(bits - (exponent << np.int32(23)))
    s = (m - ONE) / (m + ONE)
    q = s * s
    p = ((S7 * q + S5) * q + S3) * q + F(2.0)
    return F(exponent) * LN2_SINGLE + s * p


@kernel
def log_bessel_i0_less(x: Any) -> Any:
    """Return ln I0(x) - x of a single that is not negative, off by at most 1.3e-4."""
    x = x if x < LARGEST else LARGEST
    square = x * x + EIGHT
    root = F(np.sqrt(square))
    inverse = ONE / root
    series = B0 + inverse * (B1 + inverse * (B2 + inverse * B3))
    return EIGHT / (root + x) + series - F(0.25) * log_single(square)


@kernel
def erfcx(x: float) -> float:
    """Return exp(x^2) erfc(x) of a double that is not negative."""
    t = ERFCX_SCALE / (ERFCX_SCALE + x)
    u = 2.0 * t - 1.0
    p = ERFCX[-1]
    for i in range(len(ERFCX) - 2, -1, -1):
        p = p * u + ERFCX[i]
    return p * t
