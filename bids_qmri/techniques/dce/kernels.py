"""Tracer kinetics over lanes: signals with derivatives, and first estimates. Source of kernels."""

from __future__ import annotations

from typing import Any

from bids_qmri.estimators.compiled.functions import exp, inline, log
from bids_qmri.estimators.compiled.lanes import (
    any_lane,
    array,
    floor,
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
from bids_qmri.techniques.dce.compiled import (
    CELL,
    CELLS,
    COEFFICIENTS,
    DEPTH,
    HEAD,
    ORIGIN,
    RATES,
    SEGMENTS,
    START_HEAD,
)
from bids_qmri.techniques.dce.convolution import K_OFFSET, LOG_STEP, SERIES_LIMIT
from bids_qmri.techniques.dce.model import TINY
from bids_qmri.units import SECONDS_PER_MINUTE


@inline
def _moments(z: Any) -> Any:
    """Return exp(-z) and three moments, `convolution.exponential_moments`."""
    decay = exp(-z)
    minus = -smaller(z, spread(SERIES_LIMIT))
    m2 = spread(1.0 / 11.0)
    for k in range(8):
        i = 8.0 - k
        m2 = m2 * (minus * (1.0 / i)) + 1.0 / (i + 2.0)
    m1 = 0.5 * (z * m2 + decay)
    m0 = z * m1 + decay
    large = z > SERIES_LIMIT
    if any_lane(large):
        inverse = 1.0 / z
        far0 = (1.0 - decay) * inverse
        far1 = (far0 - decay) * inverse
        far2 = (2.0 * far1 - decay) * inverse
        m0, m1, m2 = where(large, far0, m0), where(large, far1, m1), where(large, far2, m2)
    return decay, m0, m1, m2


@inline
def _segment(told: Any, head: int, times: Any, n: int) -> Any:
    """Return the segment of the input that times lie in."""
    cells, ends = head + HEAD + n, head + HEAD + n + int(told[head + CELLS])
    position = (times - told[head + ORIGIN]) / spread(told[head + CELL])
    position = larger(smaller(position, spread(told[head + CELLS] - 1.0)), spread(0.0))
    # What is no number goes to the first cell.
    position = where(position > 0.0, floor(position), spread(0.0))
    segment = gather(told, position + float(cells))
    for _ in range(int(told[head + DEPTH])):
        later = times >= gather(told, segment + float(ends))
        segment = segment + where(later, spread(1.0), spread(0.0))
    return segment


@inline
def _respond(told: Any, head: int, work: Any, kep: Any, t0: Any, found: int, n: int) -> None:
    """Write plasma, its slope, tissue and its derivative by kep, n rows each: `ResponseTable.evaluate`."""
    segments, rates = int(told[head + SEGMENTS]), told[head + RATES]
    starts = head + HEAD + n + int(told[head + CELLS]) + segments
    values = starts + 3 * segments
    x = log(1.0 + kep * (1.0 / K_OFFSET)) * (1.0 / LOG_STEP)
    node = smaller(where(x > 0.0, floor(x), spread(0.0)), spread(rates - 2.0))
    u = x - node
    chain = 1.0 / (LOG_STEP * (kep + K_OFFSET))
    delay = t0 * (1.0 / SECONDS_PER_MINUTE)
    for m in range(n):
        times = told[head + HEAD + m] - delay
        segment = _segment(told, head, times, n)
        place = segment + float(starts)
        into = larger(times - gather(told, place), spread(0.0))
        level, slope = gather(told, place + float(segments)), gather(told, place + float(2 * segments))
        left = 2.0 * (segment * rates + node) + float(values)
        low, d0 = gather(told, left), gather(told, left + 1.0)
        rise = gather(told, left + 2.0) - low
        cubic = d0 + gather(told, left + 3.0) - 2.0 * rise
        square = rise - d0 - cubic
        before = low + u * (d0 + u * (square + u * cubic))
        before_by_kep = (d0 + u * (2.0 * square + 3.0 * u * cubic)) * chain
        decay, m0, m1, m2 = _moments(kep * into)
        rise = slope * into
        tissue = before * decay + into * (level * m0 + rise * (m0 - m1))
        by_kep = decay * (before_by_kep - into * before) - into * into * (level * m1 + rise * (m1 - m2))
        store(work, found + m, level + rise)
        store(work, found + n + m, slope)
        store(work, found + 2 * n + m, tissue)
        store(work, found + 3 * n + m, by_kep)


@inline
def evaluate(told: Any, work: Any, theta: int, own: int, prediction: int, jacobian: int, n: int) -> None:
    """Write signals and derivatives."""
    kep, ve, vp, t0 = (load(work, theta), load(work, theta + 1), load(work, theta + 2), load(work, theta + 3))
    _respond(told, 0, work, kep, t0, jacobian, n)
    ktrans = kep * ve
    for m in range(n):
        plasma, slope = load(work, jacobian + m), load(work, jacobian + n + m)
        tissue, by_kep = load(work, jacobian + 2 * n + m), load(work, jacobian + 3 * n + m)
        store(work, prediction + m, vp * plasma + ktrans * tissue)
        store(work, jacobian + m, ve * tissue + ktrans * by_kep)
        store(work, jacobian + n + m, kep * tissue)
        store(work, jacobian + 2 * n + m, plasma)
        uptake = vp * slope + ktrans * (plasma - kep * tissue)
        store(work, jacobian + 3 * n + m, uptake * (-1.0 / SECONDS_PER_MINUTE))


SIGNAL, TOLD, THETA, WORK, VOXELS, MEASUREMENTS = (
    START_POSITION[name] for name in ("signal", "told", "theta", "work", "voxels", "measurements")
)


def start(given: Any) -> None:
    """Write the first estimates of all voxels, by the search of `model.ExtendedTofts.start`."""
    voxels, n = given[VOXELS], given[MEASUREMENTS]
    told, signal = array(given, TOLD), array(given, SIGNAL)
    rows = 7 * n + 2 * int(told[1])
    theta, work = array(given, THETA), array(given, WORK)
    for first in range(0, voxels, WIDTH):
        for lane in range(WIDTH):
            voxel = min(first + lane, voxels - 1)
            for m in range(n):
                work[m * WIDTH + lane] = signal[voxel * n + m]
        _search(told, work, rows, n)
        _finish(told, work, rows, n)
        for lane in range(min(WIDTH, voxels - first)):
            for i in range(4):
                theta[i * voxels + first + lane] = work[(rows + i) * WIDTH + lane]


@inline
def _search(told: Any, work: Any, found: int, n: int) -> None:
    """Write the best rate and delay of the grid, the delay from a parabola."""
    rates, delays = int(told[0]), int(told[1])
    plasma = START_HEAD + delays
    tissue = plasma + delays * n
    table = tissue + rates * delays * n
    inputs, misfits = 7 * n, 7 * n + delays
    for k in range(delays):
        total = spread(0.0)
        for m in range(n):
            total = total + load(work, m) * told[plasma + k * n + m]
        store(work, inputs + k, total)
    best, best_rate, best_delay = spread(float("inf")), spread(told[table + 6]), spread(told[START_HEAD])
    for r in range(rates):
        lowest, place = spread(float("inf")), spread(0.0)
        for k in range(delays):
            atom = r * delays + k
            total = spread(0.0)
            for m in range(n):
                total = total + load(work, m) * told[tissue + atom * n + m]
            misfit = _misfit(told, table + COEFFICIENTS * atom, total, load(work, inputs + k))
            store(work, misfits + k, misfit)
            lower = misfit < lowest
            lowest, place = where(lower, misfit, lowest), where(lower, spread(float(k)), place)
        if delays > 1:
            place, lowest = _valley(work, misfits, delays, place)
        better = lowest < best
        best = where(better, lowest, best)
        best_rate = where(better, spread(told[table + COEFFICIENTS * r * delays + 6]), best_rate)
        step = told[START_HEAD + 1] - told[START_HEAD] if delays > 1 else 0.0
        best_delay = where(better, place * step + told[START_HEAD], best_delay)
    store(work, found, best_rate)
    store(work, found + 3, best_delay)


@inline
def _misfit(told: Any, at: int, rs: Any, ps: Any) -> Any:
    """Return the squared misfit less the energy of the signal, of the amounts of `model._amplitudes`."""
    rr, rp, pp = told[at], told[at + 1], told[at + 2]
    least_vp, most_vp = spread(told[4]), spread(told[5])
    vp = smaller(larger((ps * rr - rs * rp) * told[at + 3], least_vp), most_vp)
    ktrans = larger((rs - vp * rp) * told[at + 4], spread(told[at + 6] * told[2]))
    ktrans = smaller(ktrans, spread(told[at + 6] * told[3]))
    left = ps - ktrans * rp
    vp = smaller(larger(left * told[at + 5], least_vp), most_vp)
    return (ktrans * rr - 2.0 * rs) * ktrans + (vp * pp - 2.0 * left) * vp


@inline
def _valley(work: Any, misfits: int, points: int, lowest: Any) -> Any:
    """Return place and depth of a parabola through the lowest point of a column, `model._lowest`."""
    middle = smaller(larger(lowest, spread(1.0)), spread(points - 2.0))
    place = (middle + float(misfits)) * float(WIDTH) + numbers(1.0)
    before, here, after = gather(work, place - WIDTH), gather(work, place), gather(work, place + WIDTH)
    curvature, rise = before - 2.0 * here + after, 0.5 * (after - before)
    flat = where(rise > 0.0, spread(-1.0), spread(1.0))
    shift = where(curvature > 0.0, -rise / curvature, flat)
    shift = smaller(larger(shift, spread(-1.0)), spread(1.0))
    return middle + shift, here + shift * (rise + 0.5 * shift * curvature)


@inline
def _finish(told: Any, work: Any, found: int, n: int) -> None:
    """Write ve and vp of a rate and a delay, within the limits."""
    rates, delays = int(told[0]), int(told[1])
    limits = START_HEAD + delays + delays * n + rates * delays * (n + COEFFICIENTS)
    kep, t0 = load(work, found), load(work, found + 3)
    _respond(told, limits + 8, work, kep, t0, n, n)
    zero = spread(0.0)
    rr, rp, pp, rs, ps = zero, zero, zero, zero, zero
    for m in range(n):
        p, r, s = load(work, n + m), load(work, 3 * n + m), load(work, m)
        rr, rp, pp, rs, ps = rr + r * r, rp + r * p, pp + p * p, rs + r * s, ps + p * s
    least_vp, most_vp, tiny = spread(told[4]), spread(told[5]), spread(TINY)
    determinant = rr * pp - rp * rp
    vp = where(determinant > 0.0, (rr * ps - rp * rs) / determinant, zero)
    vp = smaller(larger(vp, least_vp), most_vp)
    ktrans = smaller(larger((rs - rp * vp) / larger(rr, tiny), kep * told[2]), kep * told[3])
    vp = smaller(larger((ps - rp * ktrans) / larger(pp, tiny), least_vp), most_vp)
    store(work, found + 1, ktrans / larger(kep, tiny))
    store(work, found + 2, vp)
    for i in range(4):
        value = larger(load(work, found + i), spread(told[limits + i]))
        store(work, found + i, smaller(value, spread(told[limits + 4 + i])))
