"""The fit of NODDI, voxel by voxel, compiled. Called by `fit`.

The method is that of `estimators.classical.lm`: damped Newton steps on the expected curvature, limits kept by
an active set. A voxel takes as many steps as it needs and no other voxel's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.compiled import kernel
from bids_qmri.techniques.noddi.signal_kernel import TERMS, prepare, sums
from bids_qmri.units import FloatArray

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]

PARAMETERS = 5
"""NDI, ODI, FWF and two tilts."""

STEPS = 200
COST_TOLERANCE, ROUNDING = 1e-8, 1e-26
FIRST_DAMPING, LEAST_DAMPING = 1e-2, 1e-10
LEVEL_DAMPING, SINGULAR = 1e-3, 1e-14
"""As in `estimators.classical.lm`."""

TURNS = 4
"""Times that a frame may follow a direction which has left it by 60 degrees."""

TINY = 2.2250738585072014e-308


@kernel
def minimise(
    theta: FloatArray,
    axes: FloatArray,
    signal: FloatArray,
    variance: FloatArray,
    limits: FloatArray,
    scan: FloatArray,
    sticks: FloatArray,
    ends: IntArray,
    table: FloatArray,
    converged: BoolArray,
    cost: FloatArray,
) -> None:
    """Minimise the misfit of V voxels over parameters and direction.

    Parameters
    ----------
    theta
        First estimates, (V, 5), with tilts of 0; becomes the minimum, with tilts of 0.
    axes
        Frames, (V, 3, 3): the direction and two axes; the first becomes that of the minimum.
    signal
        Over S0, (V, N).
    variance
        Of the noise over S0, (V,), for the Rician likelihood; 0 for least squares.
    limits
        (2, 5).
    scan, sticks, ends, table
        What `signal_kernel` takes of a protocol.
    converged, cost
        What is written, (V,) each.
    """
    polynomials, moments = np.zeros((2 * TERMS, signal.shape[1])), np.empty((2, TERMS))
    point, trial = np.empty(PARAMETERS), np.empty(PARAMETERS)
    for v in range(len(theta)):
        for _ in range(TURNS + 1):
            for i in range(PARAMETERS):
                point[i] = min(max(theta[v, i], limits[0, i]), limits[1, i])
            converged[v], cost[v] = _descend(
                point,
                trial,
                axes,
                signal,
                v,
                variance[v],
                limits,
                scan,
                sticks,
                ends,
                table,
                polynomials,
                moments,
            )
            left = abs(point[3]) >= limits[1, 3] or abs(point[4]) >= limits[1, 4]
            turn_frame(axes, v, point[3], point[4])
            for i in range(PARAMETERS):
                theta[v, i] = point[i] if i < 3 else 0.0
            if not left:
                break


@kernel
def turn_frame(axes: FloatArray, v: int, first: float, second: float) -> None:
    """Turn the frame of a voxel until its direction is that of two tilts."""
    length = np.sqrt(1.0 + first * first + second * second)
    x, y, z = (
        (axes[v, 0, 0] + first * axes[v, 1, 0] + second * axes[v, 2, 0]) / length,
        (axes[v, 0, 1] + first * axes[v, 1, 1] + second * axes[v, 2, 1]) / length,
        (axes[v, 0, 2] + first * axes[v, 1, 2] + second * axes[v, 2, 2]) / length,
    )
    if abs(z) < 0.5:
        size = np.sqrt(x * x + y * y)
        p, q, r = -y / size, x / size, 0.0
    else:
        size = np.sqrt(y * y + z * z)
        p, q, r = 0.0, -z / size, y / size
    axes[v, 0, 0], axes[v, 0, 1], axes[v, 0, 2] = x, y, z
    axes[v, 1, 0], axes[v, 1, 1], axes[v, 1, 2] = p, q, r
    axes[v, 2, 0], axes[v, 2, 1], axes[v, 2, 2] = y * r - z * q, z * p - x * r, x * q - y * p


@kernel
def evaluate(
    theta: FloatArray,
    axes: FloatArray,
    signal: FloatArray,
    v: int,
    variance: float,
    scan: FloatArray,
    sticks: FloatArray,
    ends: IntArray,
    table: FloatArray,
    polynomials: FloatArray,
    moments: FloatArray,
) -> tuple[float, ...]:
    """Return the sums of `signal_kernel.sums` at parameters (5,)."""
    prepare(theta[1], table, sticks, ends, moments, polynomials)
    first, second = theta[3], theta[4]
    length = np.sqrt(1.0 + first * first + second * second)
    x = (axes[v, 0, 0] + first * axes[v, 1, 0] + second * axes[v, 2, 0]) / length
    y = (axes[v, 0, 1] + first * axes[v, 1, 1] + second * axes[v, 2, 1]) / length
    z = (axes[v, 0, 2] + first * axes[v, 1, 2] + second * axes[v, 2, 2]) / length
    a, b = first / length, second / length
    frame = (
        x,
        y,
        z,
        (axes[v, 1, 0] - x * a) / length,
        (axes[v, 1, 1] - y * a) / length,
        (axes[v, 1, 2] - z * a) / length,
        (axes[v, 2, 0] - x * b) / length,
        (axes[v, 2, 1] - y * b) / length,
        (axes[v, 2, 2] - z * b) / length,
    )
    tissue = theta[0], theta[2], moments[0, 1], moments[1, 1]
    return sums(tissue, frame, scan, polynomials, signal, v, variance)


@kernel
def _descend(
    point: FloatArray,
    trial: FloatArray,
    axes: FloatArray,
    signal: FloatArray,
    v: int,
    variance: float,
    limits: FloatArray,
    scan: FloatArray,
    sticks: FloatArray,
    ends: IntArray,
    table: FloatArray,
    polynomials: FloatArray,
    moments: FloatArray,
) -> tuple[bool, float]:
    """Minimise the misfit of one voxel in its frame; return whether it converged, and the cost."""
    gradient, curvature = np.empty(PARAMETERS), np.empty((PARAMETERS, PARAMETERS))
    step, work = np.empty(PARAMETERS), np.empty((3, PARAMETERS, PARAMETERS))
    scale = np.empty(PARAMETERS)
    energy = 0.0
    for n in range(signal.shape[1]):
        energy += signal[v, n] * signal[v, n]
    for i in range(PARAMETERS):
        scale[i] = limits[1, i] - limits[0, i] if limits[1, i] > limits[0, i] else 1.0
    found = evaluate(point, axes, signal, v, variance, scan, sticks, ends, table, polynomials, moments)
    cost = found[0]
    _unpack(found, scale, gradient, curvature)
    damping = FIRST_DAMPING
    for _ in range(STEPS):
        promise = bounded_step(point, gradient, curvature, scale, damping, limits, step, work)
        for i in range(PARAMETERS):
            trial[i] = min(max(point[i] + scale[i] * step[i], limits[0, i]), limits[1, i])
        found = evaluate(trial, axes, signal, v, variance, scan, sticks, ends, table, polynomials, moments)
        fall = cost - found[0]
        if fall > 0.0:
            cost = found[0]
            for i in range(PARAMETERS):
                point[i] = trial[i]
            _unpack(found, scale, gradient, curvature)
        if not promise > COST_TOLERANCE * abs(cost) + ROUNDING * energy:
            return True, cost
        kept = fall / promise
        # A step that lowers the cost far less than promised overshot: undamped, the next ones oscillate.
        change = 0.2 if kept > 0.75 else (1.0 if kept > 0.25 else (4.0 if kept > 0.0 else 5.0))
        damping = max(damping * change, LEAST_DAMPING)
    return False, cost


@kernel
def _unpack(found: tuple[float, ...], scale: FloatArray, gradient: FloatArray, curvature: FloatArray) -> None:
    """Write gradient and curvature by the parameters in box widths."""
    (
        _,
        gradient[0],
        gradient[1],
        gradient[2],
        gradient[3],
        gradient[4],
        curvature[0, 0],
        curvature[1, 0],
        curvature[1, 1],
        curvature[2, 0],
        curvature[2, 1],
        curvature[2, 2],
        curvature[3, 0],
        curvature[3, 1],
        curvature[3, 2],
        curvature[3, 3],
        curvature[4, 0],
        curvature[4, 1],
        curvature[4, 2],
        curvature[4, 3],
        curvature[4, 4],
        _,
    ) = found
    for i in range(PARAMETERS):
        gradient[i] *= scale[i]
        for j in range(i + 1):
            curvature[i, j] *= scale[i] * scale[j]
            curvature[j, i] = curvature[i, j]


@kernel
def bounded_step(
    point: FloatArray,
    gradient: FloatArray,
    curvature: FloatArray,
    scale: FloatArray,
    damping: float,
    limits: FloatArray,
    step: FloatArray,
    work: FloatArray,
) -> float:
    """Write the damped Newton step within the limits, in box widths, and return its promise.

    The promise is about the fall of the cost were there no limits in the way of the free parameters.
    """
    free, slope, stopped = work[2, 0], work[2, 1], work[2, 2]
    for i in range(PARAMETERS):
        outward = (point[i] <= limits[0, i] and gradient[i] <= 0.0) or (
            point[i] >= limits[1, i] and gradient[i] >= 0.0
        )
        free[i] = 0.0 if outward else 1.0
        slope[i] = free[i] * gradient[i]
    solve(curvature, slope, damping, free, step, work)
    promise, cut = 0.0, False
    for i in range(PARAMETERS):
        promise += step[i] * gradient[i]
        inside = _clip(step[i], i, point, scale, limits)
        if inside != step[i]:
            free[i] = 0.0
            cut = True
        stopped[i] = inside
    if not cut:
        return promise
    # The parameters that stop at a limit take the others' coupling with them: solve again for the rest.
    for i in range(PARAMETERS):
        pull = 0.0
        for j in range(PARAMETERS):
            if free[j] == 0.0:
                pull += curvature[i, j] * stopped[j]
        slope[i] = free[i] * (gradient[i] - pull)
    solve(curvature, slope, damping, free, step, work)
    for i in range(PARAMETERS):
        step[i] = _clip(step[i] if free[i] > 0.0 else stopped[i], i, point, scale, limits)
    return promise


@kernel
def _clip(step: float, i: int, point: FloatArray, scale: FloatArray, limits: FloatArray) -> float:
    """Return a step that ends within the limits of a parameter."""
    shortest, longest = (limits[0, i] - point[i]) / scale[i], (limits[1, i] - point[i]) / scale[i]
    clipped: float = min(max(step, shortest), longest)
    return clipped


@kernel
def solve(
    curvature: FloatArray,
    gradient: FloatArray,
    damping: float,
    free: FloatArray,
    x: FloatArray,
    work: FloatArray,
) -> None:
    """Solve (H + damping) x = g by H = L D L'; parameters that are not free are decoupled."""
    unit, pivots = work[0], work[1, 0]
    trace = TINY
    for i in range(PARAMETERS):
        trace += curvature[i, i]
    for i in range(PARAMETERS):
        pivot = curvature[i, i] * (1.0 + damping) + (LEVEL_DAMPING * damping + SINGULAR) * trace
        x[i] = gradient[i]
        for j in range(i):
            entry = curvature[i, j] * (free[i] * free[j])
            for k in range(j):
                entry -= unit[i, k] * unit[j, k] * pivots[k]
            unit[i, j] = entry / pivots[j]
            pivot -= unit[i, j] * entry
            x[i] -= unit[i, j] * x[j]
        pivots[i] = pivot
    for i in range(PARAMETERS - 1, -1, -1):
        x[i] /= pivots[i]
        for k in range(i + 1, PARAMETERS):
            x[i] -= unit[k, i] * x[k]
