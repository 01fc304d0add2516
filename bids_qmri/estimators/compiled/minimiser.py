"""The minimiser of `classical.lm` for eight voxels at a time; where one is done, the next takes its lane.

The same algorithm, limits, tolerances and restarts; a voxel's result does not depend on its neighbours in the
vector. Source of kernels: `build` makes one for every model and objective.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bids_qmri.estimators.classical import lm
from bids_qmri.estimators.compiled.functions import inline
from bids_qmri.estimators.compiled.lanes import array, larger, load, size, spread, store, where
from bids_qmri.estimators.compiled.layout import POSITION, WIDTH, Rows
from bids_qmri.estimators.compiled.steps import make_judge, make_step

COST_TOLERANCE, ROUNDING = lm.COST_TOLERANCE, lm.ROUNDING
PRIOR_FLOOR = lm.PRIOR_TOLERANCE * lm.LEAST_PRECISION
FIRST_DAMPING, LEAST_DAMPING = lm.FIRST_DAMPING, lm.LEAST_DAMPING
FIRST_PASS, SECOND_PASS, ALL_PASSES = lm.PASSES[0], sum(lm.PASSES[:2]), sum(lm.PASSES)

SIGNAL, OWN, WEIGHTS, TOLD, TABLE, LOWER, UPPER, SIGMA, PULL, CENTRE, PRECISION = range(11)
THETA, CONVERGED, GRADIENT, CURVATURE, WORK = range(11, 16)
VOXELS, MEASUREMENTS, OWNED, HELD, BY_VOXEL = range(16, 21)
assert len(POSITION) == BY_VOXEL + 1


def make_minimiser(
    evaluate: Any, count: int, amplitude: int, misfit: Any, closed: bool
) -> Callable[..., None]:
    """Return the kernel of a model and an objective.

    Parameters
    ----------
    evaluate
        Of the model: writes signals and derivatives.
    count
        Parameters.
    amplitude
        Which of them is the amplitude, -1 if none is.
    misfit
        Of one measurement.
    closed
        Whether the best amplitude is found in closed form.
    """
    rows = Rows(count)
    iterate = _make_iterate(rows, count, evaluate, amplitude, misfit, closed)
    enter, leave, restart = (
        _make_enter(rows, count, amplitude),
        _make_leave(rows, count),
        _make_restart(rows, count, amplitude),
    )
    at_voxel, finished, passed = rows.voxel * WIDTH, rows.finished * WIDTH, rows.passed * WIDTH
    restarted = rows.restarted * WIDTH

    def minimise(given: Any) -> None:
        voxels, n, own = given[VOXELS], given[MEASUREMENTS], given[OWNED]
        work = array(given, WORK)
        converged = array(given, CONVERGED)
        weights, told = array(given, WEIGHTS), array(given, TOLD)
        table = array(given, TABLE)
        following, busy = 0, 0
        for lane in range(WIDTH):
            # Lanes for which there is no voxel compute the last one again.
            enter(given, work, lane, min(following, voxels - 1))
            if following < voxels:
                busy += 1
            else:
                work[at_voxel + lane] = -1.0
            following += 1
        while busy > 0:
            iterate(work, weights, told, table, n, own)
            for lane in range(WIDTH):
                voxel, spent = int(work[at_voxel + lane]), int(work[passed + lane])
                done = work[finished + lane] > 0.0
                if voxel >= 0 and (done or spent >= ALL_PASSES):
                    converged[voxel] = work[finished + lane]
                    leave(given, work, lane, voxel)
                    if following < voxels:
                        enter(given, work, lane, following)
                    else:
                        work[at_voxel + lane] = -1.0
                        busy -= 1
                    following += 1
                elif spent in (FIRST_PASS, SECOND_PASS) and work[restarted + lane] < spent:
                    work[restarted + lane] = spent
                    restart(work, lane)

    return minimise


def _make_iterate(rows: Rows, count: int, evaluate: Any, amplitude: int, misfit: Any, closed: bool) -> Any:
    """Return one iteration of eight voxels; of a fresh one, the evaluation of its first estimate."""
    step, judge = make_step(rows, count), make_judge(rows, count, evaluate, amplitude, misfit, closed)
    theta, trial, gradient, trial_gradient = rows.theta, rows.trial, rows.gradient, rows.trial_gradient
    curvature, trial_curvature, promise = rows.curvature, rows.trial_curvature, rows.promise
    cost, trial_cost, damping, floor = rows.cost, rows.trial_cost, rows.damping, rows.floor
    fresh, finished, passed = rows.fresh, rows.finished, rows.passed

    @inline
    def iterate(work: Any, weights: Any, told: Any, table: Any, n: int, own: int) -> None:
        step(work)
        judge(work, weights, told, table, n, own)
        new = load(work, fresh) > 0.0
        fall = load(work, cost) - load(work, trial_cost)
        better = new | (fall > 0.0)
        kept = where(better, load(work, trial_cost), load(work, cost))
        store(work, cost, kept)
        for i in range(count):
            store(work, theta + i, where(better, load(work, trial + i), load(work, theta + i)))
            store(work, gradient + i, where(better, load(work, trial_gradient + i), load(work, gradient + i)))
        for i in range(count * count):
            found = where(better, load(work, trial_curvature + i), load(work, curvature + i))
            store(work, curvature + i, found)
        predicted = load(work, promise)
        going = predicted > COST_TOLERANCE * size(kept) + load(work, floor)
        zero, one = spread(0.0), spread(1.0)
        store(work, finished, where(new | going, zero, one))
        true = fall / predicted
        change = where(true > 0.0, spread(4.0), spread(5.0))
        change = where(true > 0.75, spread(0.2), where(true > 0.25, one, change))
        changed = larger(load(work, damping) * change, spread(LEAST_DAMPING))
        store(work, damping, where(new, spread(FIRST_DAMPING), changed))
        store(work, passed, load(work, passed) + where(new, zero, one))
        store(work, fresh, zero)

    return iterate


def _make_enter(rows: Rows, count: int, amplitude: int) -> Any:
    """Return what gives a lane to a voxel."""
    restart = _make_restart(rows, count, amplitude)
    theta, lower, upper, fixed = rows.theta, rows.lower, rows.upper, rows.fixed
    at_centre, at_precision, at_floor, at_voxel = rows.centre, rows.precision, rows.floor, rows.voxel
    at_sigma, at_pull, passed, restarted = rows.sigma, rows.pull, rows.passed, rows.restarted

    @inline
    def enter(given: Any, work: Any, lane: int, voxel: int) -> None:
        voxels, n, own = given[VOXELS], given[MEASUREMENTS], given[OWNED]
        signal, owned = array(given, SIGNAL), array(given, OWN)
        start, low, high = (
            array(given, THETA),
            array(given, LOWER),
            array(given, UPPER),
        )
        energy = 0.0
        for m in range(n):
            value = signal[voxel * n + m]
            energy += value * value
            work[(fixed + m) * WIDTH + lane] = value
        for m in range(own):
            work[(fixed + n + m) * WIDTH + lane] = owned[voxel * own + m]
        for i in range(count):
            value = start[i * voxels + voxel]
            value = low[i] if value < low[i] else (high[i] if value > high[i] else value)
            work[(theta + i) * WIDTH + lane] = value
            work[(lower + i) * WIDTH + lane], work[(upper + i) * WIDTH + lane] = low[i], high[i]
        work[at_sigma * WIDTH + lane] = array(given, SIGMA)[voxel]
        energy *= ROUNDING
        pull = 0.0
        if given[HELD] > 0:
            pull = array(given, PULL)[voxel]
            stride = voxels if given[BY_VOXEL] > 0 else 1
            column = voxel if given[BY_VOXEL] > 0 else 0
            centre, precision = array(given, CENTRE), array(given, PRECISION)
            for i in range(count):
                work[(at_centre + i) * WIDTH + lane] = centre[i * stride + column]
                work[(at_precision + i) * WIDTH + lane] = precision[i * stride + column]
            energy += PRIOR_FLOOR * pull
        work[at_pull * WIDTH + lane], work[at_floor * WIDTH + lane] = pull, energy
        work[passed * WIDTH + lane], work[restarted * WIDTH + lane] = 0.0, 0.0
        work[at_voxel * WIDTH + lane] = float(voxel)
        restart(work, lane)

    return enter


def _make_restart(rows: Rows, count: int, amplitude: int) -> Any:
    """Return what begins anew in a lane from where it is, in units of the box (`lm.box_scale`)."""
    theta, trial, lower, upper = rows.theta, rows.trial, rows.lower, rows.upper
    scale, inverse, fresh = rows.scale, rows.inverse, rows.fresh

    @inline
    def restart(work: Any, lane: int) -> None:
        for i in range(count):
            value = work[(theta + i) * WIDTH + lane]
            width = work[(upper + i) * WIDTH + lane] - work[(lower + i) * WIDTH + lane]
            if i == amplitude:
                width = abs(value)
            if not width > 0.0:
                width = 1.0
            work[(trial + i) * WIDTH + lane] = value
            work[(scale + i) * WIDTH + lane] = width
            work[(inverse + i) * WIDTH + lane] = 1.0 / width
        work[fresh * WIDTH + lane] = 1.0

    return restart


def _make_leave(rows: Rows, count: int) -> Any:
    """Return what writes down where a voxel ended, with derivatives by the parameters themselves."""
    theta, inverse, gradient, curvature = rows.theta, rows.inverse, rows.gradient, rows.curvature

    @inline
    def leave(given: Any, work: Any, lane: int, voxel: int) -> None:
        voxels = given[VOXELS]
        found, slope = array(given, THETA), array(given, GRADIENT)
        bend = array(given, CURVATURE)
        for i in range(count):
            unit = work[(inverse + i) * WIDTH + lane]
            found[i * voxels + voxel] = work[(theta + i) * WIDTH + lane]
            slope[i * voxels + voxel] = work[(gradient + i) * WIDTH + lane] * unit
            for j in range(count):
                value = work[(curvature + i * count + j) * WIDTH + lane]
                bend[(i * count + j) * voxels + voxel] = value * unit * work[(inverse + j) * WIDTH + lane]

    return leave
