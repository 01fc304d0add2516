"""The VFA model over lanes: signals with derivatives, and first estimates. Source of kernels."""

from __future__ import annotations

from typing import Any

from bids_qmri.estimators.compiled.functions import exp, inline
from bids_qmri.estimators.compiled.lanes import array, larger, load, spread, store, where
from bids_qmri.estimators.compiled.layout import START_POSITION, WIDTH
from bids_qmri.techniques.vfa.compiled import BY_VOXEL, HEAD, ONE_TR


@inline
def _angle(told: Any, head: int, work: Any, own: int, m: int, n: int) -> Any:
    """Return sine and cosine of a flip angle."""
    if told[head + BY_VOXEL] > 0.0:
        return load(work, own + m), load(work, own + n + m)
    return spread(told[head + HEAD + m]), spread(told[head + HEAD + n + m])


@inline
def evaluate(told: Any, work: Any, theta: int, own: int, prediction: int, jacobian: int, n: int) -> None:
    """Write signals and derivatives."""
    t1, m0 = load(work, theta), load(work, theta + 1)
    inverse_t1 = 1.0 / t1
    at_tr = HEAD + 2 * n
    rate = told[at_tr] * inverse_t1
    e1 = exp(-rate)
    gone = 1.0 - e1
    by_rate = m0 * e1 * rate * inverse_t1
    for m in range(n):
        if told[ONE_TR] == 0.0:
            rate = told[at_tr + m] * inverse_t1
            e1 = exp(-rate)
            gone = 1.0 - e1
            by_rate = m0 * e1 * rate * inverse_t1
        sine, cosine = _angle(told, 0, work, own, m, n)
        inverse = 1.0 / (1.0 - e1 * cosine)
        scaled = sine * inverse
        by_m0 = scaled * gone
        store(work, jacobian + n + m, by_m0)
        store(work, jacobian + m, scaled * inverse * (cosine - 1.0) * by_rate)
        store(work, prediction + m, m0 * by_m0)


SIGNAL, OWN, WEIGHTS, TOLD, THETA, WORK, VOXELS, MEASUREMENTS, OWNED = (
    START_POSITION[name]
    for name in ("signal", "own", "weights", "told", "theta", "work", "voxels", "measurements", "owned")
)


def start(given: Any) -> None:
    """Write the first estimates of all voxels: the T1 of a grid whose signals, freely scaled, are nearest."""
    voxels, n, owned = given[VOXELS], given[MEASUREMENTS], given[OWNED]
    told, weights = array(given, TOLD), array(given, WEIGHTS)
    signal, own = array(given, SIGNAL), array(given, OWN)
    theta, work = array(given, THETA), array(given, WORK)
    for first in range(0, voxels, WIDTH):
        for lane in range(WIDTH):
            voxel = min(first + lane, voxels - 1)
            for m in range(n):
                work[m * WIDTH + lane] = signal[voxel * n + m]
            for m in range(owned):
                work[(n + m) * WIDTH + lane] = own[voxel * owned + m]
        _search(told, weights, work, n)
        for lane in range(min(WIDTH, voxels - first)):
            for i in range(2):
                theta[i * voxels + first + lane] = work[(3 * n + i) * WIDTH + lane]


@inline
def _search(told: Any, weights: Any, work: Any, n: int) -> None:
    count = int(told[0])
    head = 1 + count + count * n
    best, t1, m0 = spread(-1.0), spread(told[1]), spread(0.0)
    for k in range(count):
        product, energy = spread(0.0), spread(0.0)
        for m in range(n):
            sine, cosine = _angle(told, head, work, n, m, n)
            e1 = told[1 + count + k * n + m]
            atom = sine * (1.0 - e1) / (1.0 - cosine * e1)
            weighted = atom * weights[m]
            product = product + weighted * load(work, m)
            energy = energy + weighted * atom
        amplitude = larger(product / energy, spread(0.0))
        explained = amplitude * product
        better = explained > best
        best, m0 = where(better, explained, best), where(better, amplitude, m0)
        t1 = where(better, spread(told[1 + k]), t1)
    store(work, 3 * n, t1)
    store(work, 3 * n + 1, m0)
