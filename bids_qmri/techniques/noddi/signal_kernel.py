"""The misfit of NODDI signals with its derivatives, compiled: one pass over the measurements, nothing stored.

Called by `fit_kernel`. The formulas are those of `model.evaluate_with_derivatives`; polynomials of every
measurement stand in a row of their own, so that all loops run over measurements. Sums may be added in any
order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.compiled import kernel, summand, summing
from bids_qmri.physics.elementary import exp, log
from bids_qmri.units import FloatArray

IntArray = npt.NDArray[np.intp]

TERMS = 8
"""Powers of the squared cosine between gradient and fibre."""

SUMS = 22
"""What `sums` returns: cost, five slopes, fifteen curvatures, and squares of differences."""

ROOT8 = 2.8284271247461903
BESSEL = (
    -1.5758689836388697,
    -0.6630483476501198,
    -0.03912024620854852,
    -0.03131114824794774,
    0.0026367513191656307,
    0.00013151505093012114,
    -0.0017719865168291785,
    -0.00058652420101823,
    0.0003722663523602,
)
"""Coefficients of ln I0(x) - u + ln(u) / 2 in powers of 2 sqrt(8) / u - 1 with u^2 = x^2 + 8: off by 9e-7 at
most, and I1 / I0, that follows from them, by 1.2e-6."""

INFORMATION = (
    0.7088433405173318,
    -0.4993268071119954,
    -0.19293034212018578,
    0.0240851391606952,
    -0.031443269231452846,
    -0.0075848318894443136,
    0.0173252504547378,
    -0.02906029102086019,
    0.006404477344162656,
    0.011896168438010139,
    -0.00820504954936451,
)
"""Coefficients of the information of a magnitude (`physics.noise.rician_information`) in powers of
4 / (m^2 + 2) - 1, with m the signal over the noise: off by 2e-5 at most."""

B0, B1, B2, B3, B4, B5, B6, B7, B8 = BESSEL
I0, I1, I2, I3, I4, I5, I6, I7, I8, I9, I10 = INFORMATION

Tissue = tuple[float, float, float, float]
Frame = tuple[float, float, float, float, float, float, float, float, float]


@kernel
def prepare(
    odi: float,
    table: FloatArray,
    sticks: FloatArray,
    ends: IntArray,
    moments: FloatArray,
    polynomials: FloatArray,
) -> None:
    """Write what an ODI makes of a protocol: the coefficients of all measurements.

    Parameters
    ----------
    odi
        Orientation dispersion index.
    table
        Of Watson moments, by interval: coefficients of a cubic, (I, 4, `TERMS`).
    sticks
        What takes moments to coefficients, of every b-value, (B, `TERMS`, `TERMS`).
    ends
        Where the measurements of every b-value end, (B,).
    moments
        Moments and their derivatives by ODI, (2, `TERMS`).
    polynomials
        Coefficients of signal and of its derivative by ODI, (2 `TERMS`, N).
    """
    intervals = len(table)
    position = odi * intervals
    interval = min(max(int(position), 0), intervals - 1)
    t = position - interval
    for j in range(TERMS):
        c0, c1 = table[interval, 0, j], table[interval, 1, j]
        c2, c3 = table[interval, 2, j], table[interval, 3, j]
        moments[0, j] = ((c3 * t + c2) * t + c1) * t + c0
        moments[1, j] = ((3.0 * c3 * t + 2.0 * c2) * t + c1) * intervals
    begin = 0
    for b in range(ends.size):
        for j in range(TERMS):
            value = slope = 0.0
            for k in range(TERMS):
                value += sticks[b, j, k] * moments[0, k]
                slope += sticks[b, j, k] * moments[1, k]
            for n in range(begin, ends[b]):
                polynomials[j, n] = value
                polynomials[TERMS + j, n] = slope
        begin = ends[b]


@summing
def sums(
    tissue: Tissue,
    frame: Frame,
    scan: FloatArray,
    polynomials: FloatArray,
    signal: FloatArray,
    v: int,
    variance: float,
) -> tuple[float, ...]:
    """Return the sums over measurements of one voxel.

    Parameters
    ----------
    tissue, frame, polynomials
        As of `predict`.
    scan
        Gradients, weights, b d_par and signal of free water, (6, N).
    signal
        Over S0, (V, N).
    v
        Which voxel.
    variance
        Of the noise, for the Rician likelihood; 0 for least squares.

    Returns
    -------
    Cost, minus half its slopes by NDI, ODI, FWF and both tilts, half its curvatures (the lower triangle row
    by row), and the squares of differences.
    """
    rician = variance > 0.0
    precision = 1.0 / variance if rician else 0.0
    cost = squares = g0 = g1 = g2 = g3 = g4 = 0.0
    h00 = h10 = h11 = h20 = h21 = h22 = h30 = h31 = h32 = h33 = h40 = h41 = h42 = h43 = h44 = 0.0
    for n in range(signal.shape[1]):
        predicted, j0, j1, j2, j3, j4 = predict(tissue, frame, scan, polynomials, n)
        y, weight = signal[v, n], scan[3, n]
        difference = y - predicted
        misfit, score, curvature = difference * difference, difference, 1.0
        squares += misfit * (1.0 if weight > 0.0 else 0.0)
        if rician:
            misfit, score, curvature = rician_misfit(y, predicted, variance, precision)
        cost += weight * misfit
        score *= weight
        k0, k1, k2 = weight * curvature * j0, weight * curvature * j1, weight * curvature * j2
        k3, k4 = weight * curvature * j3, weight * curvature * j4
        g0 += score * j0
        g1 += score * j1
        g2 += score * j2
        g3 += score * j3
        g4 += score * j4
        h00 += k0 * j0
        h10 += k1 * j0
        h11 += k1 * j1
        h20 += k2 * j0
        h21 += k2 * j1
        h22 += k2 * j2
        h30 += k3 * j0
        h31 += k3 * j1
        h32 += k3 * j2
        h33 += k3 * j3
        h40 += k4 * j0
        h41 += k4 * j1
        h42 += k4 * j2
        h43 += k4 * j3
        h44 += k4 * j4
    lower = h00, h10, h11, h20, h21, h22, h30, h31, h32, h33, h40, h41, h42, h43, h44
    return (cost, g0, g1, g2, g3, g4, *lower, squares)


@summand
def predict(
    tissue: Tissue, frame: Frame, scan: FloatArray, polynomials: FloatArray, n: int
) -> tuple[float, float, float, float, float, float]:
    """Return the signal of a measurement, and its derivatives by NDI, ODI, FWF and both tilts.

    Parameters
    ----------
    tissue
        NDI, FWF, and the second-degree moment of the fibres with its derivative by ODI.
    frame
        Unit vector along the fibres, and its derivatives by either tilt.
    scan, polynomials
        As of `sums` and `prepare`.
    n
        Which measurement.
    """
    ndi, fwf, moment, moment_slope = tissue
    gx, gy, gz, x = scan[0, n], scan[1, n], scan[2, n], scan[4, n]
    cosine = gx * frame[0] + gy * frame[1] + gz * frame[2]
    u = cosine * cosine
    sticks, rest, share = polynomial(polynomials, 0, n, u), 1.0 - ndi, 1.0 - fwf
    # The diffusivity of hindered water along the gradient is d_par (1 - NDI relief).
    relief = (2.0 + moment) / 3.0 - moment * u
    hindered = exp(x * ndi * relief - x)
    pull = x * rest * hindered
    by_cosine = 2.0 * share * ndi * cosine * (slope_of(polynomials, n, u) - pull * moment)
    by_ndi = share * (sticks + relief * pull - hindered)
    turned = polynomial(polynomials, TERMS, n, u)
    by_odi = share * ndi * (turned + pull * moment_slope * (1.0 / 3.0 - u))
    both = ndi * sticks + rest * hindered
    by_fwf = scan[5, n] - both
    first = by_cosine * (gx * frame[3] + gy * frame[4] + gz * frame[5])
    second = by_cosine * (gx * frame[6] + gy * frame[7] + gz * frame[8])
    return both + fwf * by_fwf, by_ndi, by_odi, by_fwf, first, second


@summand
def polynomial(coefficients: FloatArray, first: int, n: int, u: float) -> float:
    """Return the polynomial whose coefficients of rising powers begin in a row."""
    value = coefficients[first + 7, n]
    value = value * u + coefficients[first + 6, n]
    value = value * u + coefficients[first + 5, n]
    value = value * u + coefficients[first + 4, n]
    value = value * u + coefficients[first + 3, n]
    value = value * u + coefficients[first + 2, n]
    value = value * u + coefficients[first + 1, n]
    found: float = value * u + coefficients[first, n]
    return found


@summand
def slope_of(coefficients: FloatArray, n: int, u: float) -> float:
    """Return the derivative of the first polynomial."""
    value = 7.0 * coefficients[7, n]
    value = value * u + 6.0 * coefficients[6, n]
    value = value * u + 5.0 * coefficients[5, n]
    value = value * u + 4.0 * coefficients[4, n]
    value = value * u + 3.0 * coefficients[3, n]
    value = value * u + 2.0 * coefficients[2, n]
    found: float = value * u + coefficients[1, n]
    return found


@summand
def rician_misfit(
    y: float, predicted: float, variance: float, precision: float
) -> tuple[float, float, float]:
    """Return cost, score and curvature of a magnitude, as of `objective.RicianLikelihood`."""
    z = y * predicted * precision
    z = z if z > 0.0 else 0.0
    root = np.sqrt(z * z + 8.0)
    inverse = 1.0 / root
    s = 2.0 * ROOT8 * inverse - 1.0
    series = B8
    bend = series
    series = series * s + B7
    bend = bend * s + series
    series = series * s + B6
    bend = bend * s + series
    series = series * s + B5
    bend = bend * s + series
    series = series * s + B4
    bend = bend * s + series
    series = series * s + B3
    bend = bend * s + series
    series = series * s + B2
    bend = bend * s + series
    series = series * s + B1
    bend = bend * s + series
    series = series * s + B0
    ratio = z * inverse * (1.0 - 0.5 * inverse - 2.0 * ROOT8 * bend * inverse * inverse)
    misfit = predicted * predicted + y * y - 2.0 * variance * (root - 0.5 * log(root) + series)
    return misfit, y * ratio - predicted, information(predicted * predicted * precision)


@summand
def information(power: float) -> float:
    """Return that of a magnitude, power being its squared signal over the squared noise."""
    q = 4.0 / (power + 2.0) - 1.0
    value = I10 * q + I9
    value = value * q + I8
    value = value * q + I7
    value = value * q + I6
    value = value * q + I5
    value = value * q + I4
    value = value * q + I3
    value = value * q + I2
    value = value * q + I1
    return value * q + I0
