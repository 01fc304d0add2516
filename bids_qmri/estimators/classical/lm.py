"""Bounded Levenberg-Marquardt minimisation of all voxels at once, for any model and objective.

Called by `lsq`, `mle` and `map`. Voxels run along the last axis; a block of them fits the processor's cache,
and voxels that have converged leave their block. Limits are kept by an active set: a parameter at its limit
whose gradient points outward stays there (Bertsekas' projected Newton method, doi:10.1137/0320018). Where the
objective allows it, the amplitude takes its best value in closed form after every step, which makes the
iteration that of variable projection, doi:10.1137/0710036. A Gaussian prior may join the cost (`map`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.classical.minimum import BoolArray, Minimum, Penalty
from bids_qmri.estimators.classical.objective import Objective
from bids_qmri.estimators.compiled import call
from bids_qmri.physics.model import Model
from bids_qmri.physics.protocol import Measurements
from bids_qmri.units import FloatArray

BLOCK_VALUES = 2**15
"""Signal values per block: the Jacobian of four parameters then takes 1 MB, the size of an L2 cache."""

PASSES = (12, 24, 164)
"""Iterations of each pass; the voxels a pass leaves unconverged share blocks in the next one, because a block
of a few costs as much as a full one. 200 in all."""

COST_TOLERANCE = 1e-8
"""Predicted relative fall of the cost at which a voxel has converged: within 5e-4 standard deviations."""

ROUNDING = 1e-26
"""The same relative to the signal's energy, for noise-free data, whose cost has no scale of its own."""

PRIOR_TOLERANCE = 1e-4
"""The same relative to the weight of a prior: within a few hundredths of a standard deviation."""

LEAST_PRECISION = 12.0
"""Of a prior in squared box widths: that of a uniform density."""

FIRST_DAMPING, LEAST_DAMPING = 1e-2, 1e-10
"""Relative to the curvature; the least must not slow down fits of nearly parallel parameters."""

LEVEL_DAMPING = 1e-3
"""Share of the damping that is the same for all parameters: restrains those the data say nothing about."""

SINGULAR = 1e-14
"""Relative weight that keeps a system solvable where a parameter has no effect on the signal."""

KEEP_FRACTION = 0.75
"""Voxels that have converged are dropped once fewer than this fraction of a block is left."""


@dataclass
class Point:
    """Parameters (P, V), cost (V,), minus half its scaled gradient (P, V), half its curvature (P, P, V)."""

    theta: FloatArray
    cost: FloatArray
    gradient: FloatArray
    curvature: FloatArray

    def take(self, voxels: npt.NDArray[np.intp]) -> Point:
        arrays = (self.theta, self.cost, self.gradient, self.curvature)
        return Point(*(np.take(array, voxels, axis=-1) for array in arrays))

    def replace_where(self, better: BoolArray, other: Point) -> None:
        for mine, theirs in (
            (self.theta, other.theta),
            (self.cost, other.cost),
            (self.gradient, other.gradient),
            (self.curvature, other.curvature),
        ):
            np.copyto(mine, theirs, where=better)


def minimise(
    model: Model,
    objective: Objective,
    protocol: Measurements,
    lower: FloatArray,
    upper: FloatArray,
    *,
    prior: Penalty | None = None,
    start: FloatArray | None = None,
) -> Minimum:
    """Minimise an objective over the parameters of a model, in every voxel by itself.

    Parameters
    ----------
    model
        Forward model; all limits but those of its amplitude are finite.
    objective
        Misfit to the measured signals, shape (N, V), all finite.
    protocol
        What was played out.
    lower, upper
        Limits, shape (P,); a parameter with equal limits is fixed.
    prior
        What joins the cost; None for no prior.
    start
        First estimate, shape (P, V); None takes the model's.

    Raises
    ------
    ValueError
        If a limit is infinite other than that of the amplitude.
    """
    _require_finite(model, upper - lower)
    found = call.minimise(model, objective, protocol, lower, upper, prior, start)
    return found or minimise_arrays(model, objective, protocol, lower, upper, prior=prior, start=start)


def minimise_arrays(
    model: Model,
    objective: Objective,
    protocol: Measurements,
    lower: FloatArray,
    upper: FloatArray,
    *,
    prior: Penalty | None = None,
    start: FloatArray | None = None,
) -> Minimum:
    """Do what `minimise` does by operations on arrays, for any model and objective."""
    n_measurements, n_voxels = objective.signal.shape
    size = max(BLOCK_VALUES // n_measurements, 64)
    theta = np.empty((lower.size, n_voxels)) if start is None else start.copy()
    converged = np.zeros(n_voxels, dtype=np.bool_)
    result = Minimum(theta, converged, np.empty_like(theta), np.empty((lower.size, *theta.shape)))
    for i, iterations in enumerate(PASSES):
        left = np.flatnonzero(~converged)
        for first in range(0, left.size, size):
            block = left[first : first + size]
            part, signals = protocol.take(block), objective.take(block)
            weight = None if prior is None else prior.take(block)
            # Invalid trials (overflow far from the data) have a cost of NaN and are rejected.
            with np.errstate(all="ignore"):
                if i == 0 and start is None:
                    theta[:, block] = model.start(signals.signal, part, lower, upper)
                guess = np.take(theta, block, axis=1)
                end = _minimise_block(
                    model, signals, part, guess, lower[:, None], upper[:, None], weight, iterations
                )
            result.put(block, end)
    return result


def _require_finite(model: Model, widths: FloatArray) -> None:
    """Refuse infinite limits other than those of the amplitude."""
    for parameter, width in zip(model.parameters, widths, strict=True):
        if not np.isfinite(width) and parameter.name != model.amplitude:
            raise ValueError(f"limits of {parameter.name} are not finite")


def _minimise_block(
    model: Model,
    objective: Objective,
    protocol: Measurements,
    start: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    prior: Penalty | None,
    iterations: int,
) -> Minimum:
    theta = np.clip(start, lower, upper)
    scale = box_scale(model, theta, lower, upper)
    point = evaluate(model, objective, protocol, theta, scale, lower, upper, prior)
    floor = ROUNDING * np.einsum("nv,nv->v", objective.signal, objective.signal)
    if prior is not None:
        floor += PRIOR_TOLERANCE * LEAST_PRECISION * prior.weight
    damping = np.full(theta.shape[1], FIRST_DAMPING)
    result = _unscaled(point, scale, np.zeros(theta.shape[1], dtype=np.bool_))
    voxels, done = np.arange(theta.shape[1]), np.zeros(theta.shape[1], dtype=np.bool_)
    for _ in range(iterations):
        step, predicted = _bounded_step(point, scale, damping, lower, upper)
        trial = np.clip(point.theta + scale * step, lower, upper)
        candidate = evaluate(model, objective, protocol, trial, scale, lower, upper, prior)
        fall = point.cost - candidate.cost
        point.replace_where((fall > 0) & ~done, candidate)
        done |= ~(predicted > COST_TOLERANCE * np.abs(point.cost) + floor)
        damping = _adapt(damping, fall, predicted)
        active = np.flatnonzero(~done)
        if active.size < KEEP_FRACTION * done.size:
            result.put(voxels, _unscaled(point, scale, done))
            if active.size == 0:
                return result
            point, objective, protocol = point.take(active), objective.take(active), protocol.take(active)
            scale, damping, floor = np.take(scale, active, axis=1), damping[active], floor[active]
            voxels, done = voxels[active], done[active]
            prior = None if prior is None else prior.take(active)
    result.put(voxels, _unscaled(point, scale, done))
    return result


def _unscaled(point: Point, scale: FloatArray, done: BoolArray) -> Minimum:
    """Return where a minimisation is, with derivatives by the parameters themselves."""
    gradient = point.gradient / scale
    return Minimum(point.theta.copy(), done.copy(), gradient, point.curvature / (scale[:, None] * scale))


def box_scale(model: Model, theta: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return one box width per parameter, for an amplitude its first estimate, shape (P, V)."""
    width = np.where(upper > lower, upper - lower, 1.0)
    for index, parameter in enumerate(model.parameters):
        if parameter.name == model.amplitude:
            width = np.where(np.arange(lower.size)[:, None] == index, np.abs(theta[index]), width)
    return np.broadcast_to(np.where(width > 0, width, 1.0), theta.shape)


def evaluate(
    model: Model,
    objective: Objective,
    protocol: Measurements,
    theta: FloatArray,
    scale: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    prior: Penalty | None = None,
) -> Point:
    """Evaluate cost and derivatives by theta / scale, after giving the amplitude its best value.

    Limits have shape (P, 1) here; for `prior` see `minimise`.
    """
    prediction, jacobian = model.signal_and_jacobian(theta, protocol)
    if model.amplitude is not None:
        factor = objective.best_scale(prediction)
        if factor is not None:
            index = [p.name for p in model.parameters].index(model.amplitude)
            amplitude = np.clip(theta[index] * factor, lower[index], upper[index])
            factor = amplitude / theta[index]
            theta[index] = amplitude
            prediction *= factor
            # Derivatives by the other parameters are proportional to the amplitude, its own is not.
            scale = scale * factor
            scale[index] /= factor
    cost, score, weights = objective.misfit(prediction)
    count = len(theta)
    gradient = np.empty_like(theta)
    curvature = np.empty((count, count, theta.shape[1]))
    for i in range(count):
        gradient[i] = scale[i] * np.einsum("nv,nv->v", jacobian[i], score)
        row = jacobian[i] if weights is None else jacobian[i] * weights
        for j in range(i + 1):
            curvature[i, j] = scale[i] * scale[j] * np.einsum("nv,nv->v", row, jacobian[j])
            curvature[j, i] = curvature[i, j]
    if prior is not None:
        for i in _boxed(model, lower, upper):
            deviation = (theta[i] - prior.centre[i]) / (upper[i] - lower[i])
            weight = prior.weight * prior.precision[i]
            cost += weight * deviation**2
            gradient[i] -= weight * deviation
            curvature[i, i] += weight
    return Point(theta, cost, gradient, curvature)


def _boxed(model: Model, lower: FloatArray, upper: FloatArray) -> list[int]:
    """Return the parameters that a prior holds: the free ones but the amplitude."""
    names = [p.name for p in model.parameters]
    return [i for i, name in enumerate(names) if name != model.amplitude and lower[i, 0] < upper[i, 0]]


def _bounded_step(
    point: Point, scale: FloatArray, damping: FloatArray, lower: FloatArray, upper: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the damped Newton step within the limits, in units of `scale`, and its promise, (V,).

    The promise is about the fall of the cost were there no limits in the way of the free parameters; it is
    positive except at a minimum.
    """
    gradient = point.gradient
    outward = ((point.theta <= lower) & (gradient <= 0)) | ((point.theta >= upper) & (gradient >= 0))
    free = np.where(outward, 0.0, 1.0)
    step = solve(point.curvature, free * gradient, damping, free)
    promise = np.einsum("pv,pv->v", step, gradient)
    shortest, longest = (lower - point.theta) / scale, (upper - point.theta) / scale
    inside = np.clip(step, shortest, longest)
    cut = np.flatnonzero(np.any(inside != step, axis=0))
    if cut.size:
        # The parameters that stop at a limit take the others' coupling with them: solve again for the rest.
        curvature, slope, stopped, wanted, free, shortest, longest = (
            np.take(array, cut, axis=-1)
            for array in (point.curvature, gradient, inside, step, free, shortest, longest)
        )
        free = np.where(stopped == wanted, free, 0.0)
        pull = np.einsum("ijv,jv->iv", curvature, np.where(free > 0, 0.0, stopped))
        rest = solve(curvature, free * (slope - pull), damping[cut], free)
        inside[:, cut] = np.clip(np.where(free > 0, rest, stopped), shortest, longest)
    return inside, promise


def solve(curvature: FloatArray, gradient: FloatArray, damping: FloatArray, free: FloatArray) -> FloatArray:
    """Solve (H + damping) x = g of every voxel by the decomposition H = L D L'.

    Parameters that are not free are decoupled; their x is 0
    because their gradient is.
    """
    count = len(gradient)
    scaled: dict[tuple[int, int], FloatArray] = {}  # L D
    unit: dict[tuple[int, int], FloatArray] = {}  # L
    pivots: list[FloatArray] = []
    x = gradient.copy()
    trace = np.einsum("iiv->v", curvature) + np.finfo(np.float64).tiny
    for i in range(count):
        pivot = curvature[i, i] * (1.0 + damping) + (LEVEL_DAMPING * damping + SINGULAR) * trace
        for j in range(i):
            entry = curvature[i, j] * (free[i] * free[j])
            for k in range(j):
                entry -= unit[i, k] * scaled[j, k]
            scaled[i, j], unit[i, j] = entry, entry / pivots[j]
            pivot -= unit[i, j] * entry
            x[i] -= unit[i, j] * x[j]
        pivots.append(pivot)
    for i in reversed(range(count)):
        x[i] /= pivots[i]
        for k in range(i + 1, count):
            x[i] -= unit[k, i] * x[k]
    return x


def _adapt(damping: FloatArray, fall: FloatArray, predicted: FloatArray) -> FloatArray:
    """Return the next damping, from the part of the promised fall of the cost that came true."""
    kept = fall / predicted
    # A step that lowers the cost far less than promised overshot; undamped, the next ones would oscillate.
    change = np.where(kept > 0.75, 0.2, np.where(kept > 0.25, 1.0, np.where(kept > 0, 4.0, 5.0)))
    return np.maximum(damping * change, LEAST_DAMPING)
