"""The IVIM model over lanes: signals with derivatives, and first estimates. Source of kernels."""

from __future__ import annotations

from typing import Any

from bids_qmri.estimators.compiled.functions import exp, inline
from bids_qmri.estimators.compiled.lanes import (
    array,
    gather,
    larger,
    load,
    numbers,
    smaller,
    spread,
    store,
    where,
)
from bids_qmri.estimators.compiled.layout import START_POSITION, WIDTH
from bids_qmri.techniques.ivim.compiled import (
    COEFFICIENTS,
    FASTS,
    HEAD,
    LOWER_F,
    SLOWS,
    STEP,
    UPPER_F,
)

TINY = 2.2250738585072014e-308


@inline
def evaluate(told: Any, work: Any, theta: int, own: int, prediction: int, jacobian: int, n: int) -> None:
    """Write signals and derivatives; `told` are the b-values."""
    d, dstar, f, s0 = (load(work, theta), load(work, theta + 1), load(work, theta + 2), load(work, theta + 3))
    rest = 1.0 - f
    for m in range(n):
        b = -told[m]
        slow, fast = exp(b * d), exp(b * dstar)
        store(work, jacobian + 2 * n + m, s0 * (fast - slow))
        slow, fast = rest * slow, f * fast
        by_s0, scaled = slow + fast, b * s0
        store(work, jacobian + 3 * n + m, by_s0)
        store(work, jacobian + m, scaled * slow)
        store(work, jacobian + n + m, scaled * fast)
        store(work, prediction + m, s0 * by_s0)


SIGNAL, WEIGHTS, TOLD, THETA, WORK, VOXELS, MEASUREMENTS = (
    START_POSITION[name] for name in ("signal", "weights", "told", "theta", "work", "voxels", "measurements")
)


def start(given: Any) -> None:
    """Write the first estimates of all voxels, on the grid of `model.Ivim.start`, in double precision."""
    voxels, n = given[VOXELS], given[MEASUREMENTS]
    signal, weights, told = array(given, SIGNAL), array(given, WEIGHTS), array(given, TOLD)
    theta, work = array(given, THETA), array(given, WORK)
    slows = int(told[SLOWS])
    for first in range(0, voxels, WIDTH):
        for lane in range(WIDTH):
            voxel = min(first + lane, voxels - 1)
            largest = TINY
            for m in range(n):
                largest = max(largest, abs(signal[voxel * n + m]))
            for m in range(n):
                work[m * WIDTH + lane] = signal[voxel * n + m] / largest * weights[m]
            work[(n + 2 * slows + 4) * WIDTH + lane] = largest
        _search(told, work, n)
        _finish(told, weights, work, n)
        for lane in range(min(WIDTH, voxels - first)):
            for i in range(4):
                theta[i * voxels + first + lane] = work[(n + 2 * slows + i) * WIDTH + lane]


@inline
def _search(told: Any, work: Any, n: int) -> None:
    """Write the best D and D* of the grid, D from a parabola."""
    slows, fasts = int(told[SLOWS]), int(told[FASTS])
    at_slow = HEAD + slows + fasts
    at_fast = at_slow + slows * n
    table = at_fast + fasts * n
    gains, found = n + slows, n + 2 * slows
    for i in range(slows):
        total = spread(0.0)
        for m in range(n):
            total = total + load(work, m) * told[at_slow + i * n + m]
        store(work, n + i, total)
    best, best_d, best_dstar = spread(-1.0), spread(told[HEAD]), spread(told[HEAD + slows])
    for k in range(fasts):
        by_fast = spread(0.0)
        for m in range(n):
            by_fast = by_fast + load(work, m) * told[at_fast + k * n + m]
        top, height = spread(0.0), spread(-1.0)
        for i in range(slows):
            gain = _gain(load(work, n + i), by_fast, told, table + COEFFICIENTS * (k * slows + i))
            store(work, gains + i, gain)
            higher = gain > height
            top, height = where(higher, spread(float(i)), top), where(higher, gain, height)
        if slows >= 3:
            top, height = _peak(work, gains, slows, top, height)
        better = height > best
        best = where(better, height, best)
        best_dstar = where(better, spread(told[HEAD + slows + k]), best_dstar)
        best_d = where(better, told[HEAD] + top * told[STEP], best_d)
    store(work, found, best_d)
    store(work, found + 1, best_dstar)


@inline
def _gain(by_slow: Any, by_fast: Any, told: Any, at: int) -> Any:
    """Return the squares that both exponentials explain, with f within its limits."""
    fast = by_fast * told[at] - by_slow * told[at + 1]
    total = by_slow * told[at + 2] + by_fast * told[at + 3]
    inner = by_slow * (by_slow * told[at + 4] + by_fast * told[at + 5]) + by_fast * by_fast * told[at + 6]
    low, high = told[LOWER_F], told[UPPER_F]
    zero = spread(0.0)
    least = larger(by_slow * (1.0 - low) + by_fast * low, zero)
    most = larger(by_slow * (1.0 - high) + by_fast * high, zero)
    above = fast >= total * high
    below = (total <= 0.0) | (fast <= total * low)
    found = where(above, most * most * told[at + 8], inner)
    return where(below, least * least * told[at + 7], found)


@inline
def _peak(work: Any, gains: int, points: int, top: Any, height: Any) -> Any:
    """Return place and height of a parabola through the highest point of a column and its neighbours."""
    middle = smaller(larger(top, spread(1.0)), spread(points - 2.0))
    place = (middle + float(gains)) * float(WIDTH) + numbers(1.0)
    left, centre, right = gather(work, place - WIDTH), gather(work, place), gather(work, place + WIDTH)
    bend, slope = left - 2.0 * centre + right, 0.5 * (right - left)
    offset = where(bend < 0.0, -slope / bend, spread(0.0))
    near = top - middle
    offset = smaller(larger(offset, near - 0.5), near + 0.5)
    vertex = centre + offset * (slope + 0.5 * bend * offset)
    inside = smaller(larger(middle + offset, spread(0.0)), spread(points - 1.0))
    return inside, larger(vertex, height)


@inline
def _finish(told: Any, weights: Any, work: Any, n: int) -> None:
    """Write the best f and S0 of D and D*, `model._best_fraction`."""
    slows, fasts = int(told[SLOWS]), int(told[FASTS])
    found = n + 2 * slows
    at_b = HEAD + slows + fasts + (slows + fasts) * n + COEFFICIENTS * slows * fasts
    d, dstar = load(work, found), load(work, found + 1)
    zero = spread(0.0)
    by_slow, by_fast, slow_slow, slow_fast, fast_fast = zero, zero, zero, zero, zero
    for m in range(n):
        b = -told[at_b + m]
        slow, fast, value = exp(b * d), exp(b * dstar), load(work, m)
        by_slow, by_fast = by_slow + slow * value, by_fast + fast * value
        weighted = slow * weights[m]
        slow_slow, slow_fast = slow_slow + weighted * slow, slow_fast + weighted * fast
        fast_fast = fast_fast + weights[m] * fast * fast
    of_fast = slow_slow * by_fast - slow_fast * by_slow
    total = fast_fast * by_slow - slow_fast * by_fast + of_fast
    f = where(total > 0.0, of_fast / total, zero)
    f = smaller(larger(f, spread(told[LOWER_F])), spread(told[UPPER_F]))
    rest = 1.0 - f
    explained = larger(rest * by_slow + f * by_fast, zero)
    energy = rest * rest * slow_slow + 2.0 * f * rest * slow_fast + f * f * fast_fast
    store(work, found + 2, f)
    store(work, found + 3, explained / energy * load(work, found + 4))
