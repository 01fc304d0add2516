"""The Rician evidence of nodes with the amplitude integrated, compiled, a few nodes at a time.

Called by `problem`, which holds the same in formulas. What is large in a likelihood, its exponent in the
amplitude, is summed in double precision; what is left of the logarithms of Bessel functions is small and
summed in single precision, with twice as many lanes and a third of the time for roots and quotients.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.compiled import kernel
from bids_qmri.physics.elementary import exp, log_bessel_i0_less
from bids_qmri.units import FloatArray

Float32Array = npt.NDArray[np.float32]

BLOCK = 512
"""Nodes at a time, of as many voxels as that takes: long loops leave few steps to do one by one."""

TINY = 1e-300


@kernel
def integrate_amplitude(
    curves: FloatArray,
    signal: FloatArray,
    weights: FloatArray,
    noise: tuple[FloatArray, FloatArray],
    limits: tuple[float, float],
    rule: tuple[FloatArray, FloatArray],
    reach: float,
    out: FloatArray,
) -> None:
    """Write the largest log density, the total relative to it, and mean and mean square of the amplitude.

    Parameters
    ----------
    curves
        Signals of amplitude 1 at G nodes of every voxel, one voxel after the other, (N, V G).
    signal
        Magnitudes, (N, V).
    weights
        Images averaged into each measurement, (N,).
    noise
        Noise floor, and the images that one counts as, each (V,).
    limits
        Of the amplitude.
    rule
        Nodes in [0, 1] and weights of the quadrature, each (I,).
    reach
        Half width of the integral in standard deviations.
    out
        The four, (4, V G); the total is in units of the amplitude.
    """
    n_inner = rule[0].size
    crossed = np.empty((len(weights), BLOCK), dtype=np.float32)
    sums, images = np.empty((4, BLOCK)), np.empty(BLOCK)
    amplitude, density = np.empty((n_inner, BLOCK)), np.empty((n_inner, BLOCK))
    rest, single = np.empty(BLOCK, dtype=np.float32), np.empty(BLOCK, dtype=np.float32)
    for first in range(0, curves.shape[1], BLOCK):
        end = min(first + BLOCK, curves.shape[1])
        count = end - first
        _accumulate(curves, signal, weights, noise, first, end, crossed, sums, images)
        _place(sums, images[:count], limits, rule[0], reach, amplitude)
        for i in range(n_inner):
            for g in range(count):
                single[g] = amplitude[i, g]
            rest[:count] = 0.0
            for n in range(len(weights)):
                _add_bessel(weights[n], single[:count], crossed[n], rest)
            _log_density(images[:count], rule[1][i], sums, amplitude[i], rest, density[i])
        _summarise(
            amplitude,
            density,
            sums[3],
            out[0, first:end],
            out[1, first:end],
            out[2, first:end],
            out[3, first:end],
        )


@kernel
def _accumulate(
    curves: FloatArray,
    signal: FloatArray,
    weights: FloatArray,
    noise: tuple[FloatArray, FloatArray],
    first: int,
    end: int,
    crossed: Float32Array,
    sums: FloatArray,
    images: FloatArray,
) -> None:
    """Write what a block of nodes needs of its voxels: see `_add_products`; and the images they count as."""
    n_nodes = curves.shape[1] // signal.shape[1]
    sums[:] = 0.0
    begin = first
    while begin < end:
        v = begin // n_nodes
        stop = min((v + 1) * n_nodes, end)
        here = slice(begin - first, stop - first)
        for n in range(len(weights)):
            _add_products(
                curves[n, begin:stop],
                signal[n, v] / noise[0][v],
                1.0 / noise[0][v],
                weights[n],
                crossed[n, here],
                (sums[0, here], sums[1, here], sums[2, here]),
            )
        images[here] = noise[1][v]
        begin = stop


@kernel
def _add_products(
    curve: FloatArray,
    y: float,
    scale: float,
    weight: float,
    crossed: Float32Array,
    sums: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    """Write curve times signal, and add one measurement to sums of curve with signal, energy, magnitude."""
    with_signal, energy, with_magnitude = sums
    # E[y^2] = m^2 + 2 sigma^2: an estimate of the amplitude good to a fraction of its standard deviation
    unbiased = weight * np.sqrt(max(y * y - 1.0, 0.0))
    for g in range(curve.size):
        u = curve[g] * scale
        with_signal[g] += unbiased * u
        energy[g] += weight * (u * u)
        with_magnitude[g] += weight * y * u
        crossed[g] = u * y


@kernel
def _place(
    sums: FloatArray,
    images: FloatArray,
    limits: tuple[float, float],
    nodes: FloatArray,
    reach: float,
    amplitude: FloatArray,
) -> None:
    """Lay the amplitudes, (I, G), and write the width of their interval to `sums[3]`."""
    low, width = sums[0], sums[3]
    _interval(sums[1], images, limits, reach, low, width)
    for i in range(nodes.size):
        row, x = amplitude[i], nodes[i]
        for g in range(images.size):
            row[g] = low[g] + width[g] * x


@kernel
def _interval(
    energy: FloatArray,
    images: FloatArray,
    limits: tuple[float, float],
    reach: float,
    low: FloatArray,
    width: FloatArray,
) -> None:
    """Write where the intervals begin over the products of curve and signal in `low`, and their widths."""
    lower, upper = limits
    for g in range(images.size):
        centre = low[g] / energy[g]
        deviation = 1.0 / np.sqrt(images[g] * energy[g])
        inside = centre if centre > lower else lower
        inside = inside if inside < upper else upper
        # beyond a limit the density decays like an exponential, the faster the farther its centre is
        half = reach * deviation / (1.0 + abs(centre - inside) / deviation * (reach / 12.0))
        begin, end = inside - half, inside + half
        begin = begin if begin > lower else lower
        end = end if end < upper else upper
        low[g] = begin
        width[g] = end - begin if end - begin > TINY else TINY


@kernel
def _add_bessel(weight: float, amplitude: Float32Array, crossed: Float32Array, rest: Float32Array) -> None:
    """Add what one measurement leaves of the log density of amplitudes, (G,) in single precision."""
    w = np.float32(weight)
    for g in range(amplitude.size):
        rest[g] += w * log_bessel_i0_less(amplitude[g] * crossed[g])


@kernel
def _log_density(
    images: FloatArray,
    log_weight: float,
    sums: FloatArray,
    amplitude: FloatArray,
    rest: Float32Array,
    out: FloatArray,
) -> None:
    """Write the log density of one amplitude per node, (G,)."""
    energy, with_magnitude = sums[1], sums[2]
    for g in range(images.size):
        a = amplitude[g]
        exponent = a * (with_magnitude[g] - 0.5 * a * energy[g])
        # Of thermal noise alone every image counts fully.
        out[g] = log_weight + images[g] * (exponent + rest[g])


@kernel
def _summarise(
    amplitude: FloatArray,
    density: FloatArray,
    width: FloatArray,
    top: FloatArray,
    total: FloatArray,
    mean: FloatArray,
    square: FloatArray,
) -> None:
    """Write top, total, mean and mean square of one block of nodes, (G,)."""
    for g in range(top.size):
        top[g] = density[0, g]
    for i in range(1, len(density)):
        _raise_top(density[i], top)
    total[:] = 0.0
    mean[:] = 0.0
    square[:] = 0.0
    for i in range(len(density)):
        _add_mass(amplitude[i], density[i], top, total, mean, square)
    for g in range(top.size):
        mean[g] /= total[g]
        square[g] /= total[g]
        total[g] *= width[g]


@kernel
def _raise_top(density: FloatArray, top: FloatArray) -> None:
    for g in range(top.size):
        top[g] = density[g] if density[g] > top[g] else top[g]


@kernel
def _add_mass(
    amplitude: FloatArray,
    density: FloatArray,
    top: FloatArray,
    total: FloatArray,
    mean: FloatArray,
    square: FloatArray,
) -> None:
    """Add one amplitude of every node to the sums."""
    for g in range(top.size):
        mass, a = exp(density[g] - top[g]), amplitude[g]
        total[g] += mass
        mean[g] += mass * a
        square[g] += mass * (a * a)
