"""Step and cost of the minimiser, eight voxels at a time, as in `classical.lm`. Source of kernels."""

from __future__ import annotations

from typing import Any

from bids_qmri.estimators.compiled.algebra import make_solve
from bids_qmri.estimators.compiled.functions import inline
from bids_qmri.estimators.compiled.lanes import any_lane, larger, load, smaller, spread, store, where
from bids_qmri.estimators.compiled.layout import Rows


def make_step(rows: Rows, count: int) -> Any:
    """Return the damped Newton step within the limits, `lm._bounded_step`, which writes the trial."""
    solve, stop = make_solve(count), _make_stop(rows, count)
    theta, trial, step, free, gradient = rows.theta, rows.trial, rows.step, rows.free, rows.gradient
    lower, upper, scale, inverse, fresh = rows.lower, rows.upper, rows.scale, rows.inverse, rows.fresh
    curvature, scratch, damping, promise, stopped = (
        rows.curvature, rows.scratch, rows.damping, rows.promise, rows.stopped
    )  # fmt: skip

    @inline
    def bounded_step(work: Any) -> None:
        zero, one = spread(0.0), spread(1.0)
        for i in range(count):
            slope, place = load(work, gradient + i), load(work, theta + i)
            outward = ((place <= load(work, lower + i)) & (slope <= 0.0)) | (
                (place >= load(work, upper + i)) & (slope >= 0.0)
            )
            store(work, free + i, where(outward, zero, one))
            store(work, step + i, where(outward, zero, slope))
        solve(work, curvature, step, free, scratch, load(work, damping))
        told, cut = zero, zero
        for i in range(count):
            wanted, place, unit = load(work, step + i), load(work, theta + i), load(work, inverse + i)
            told = told + wanted * load(work, gradient + i)
            inside = larger(wanted, (load(work, lower + i) - place) * unit)
            inside = smaller(inside, (load(work, upper + i) - place) * unit)
            store(work, stopped + i, inside)
            cut = where((inside < wanted) | (inside > wanted), one, cut)
        store(work, promise, told)
        if any_lane(cut > 0.0):
            stop(work, cut > 0.0)
        new = load(work, fresh) > 0.0
        for i in range(count):
            former, unit, moved = load(work, theta + i), load(work, inverse + i), load(work, stopped + i)
            low, high = load(work, lower + i), load(work, upper + i)
            place = smaller(larger(former + load(work, scale + i) * moved, low), high)
            # What stops at a limit is at the limit, whatever rounding says.
            place = where(moved <= (low - former) * unit, low, place)
            place = where(moved >= (high - former) * unit, high, place)
            store(work, trial + i, where(new, load(work, trial + i), place))

    return bounded_step


def _make_stop(rows: Rows, count: int) -> Any:
    """Return what solves again for the parameters that no limit stops, in the lanes where one does."""
    solve = make_solve(count)
    theta, step, free, gradient, stopped = rows.theta, rows.step, rows.free, rows.gradient, rows.stopped
    lower, upper, inverse = rows.lower, rows.upper, rows.inverse
    curvature, scratch, damping = rows.curvature, rows.scratch, rows.damping

    @inline
    def stop(work: Any, cut: Any) -> None:
        zero = spread(0.0)
        for i in range(count):
            inside, wanted = load(work, stopped + i), load(work, step + i)
            moved = (inside < wanted) | (inside > wanted)
            store(work, free + i, where(moved, zero, load(work, free + i)))
        for i in range(count):
            right = load(work, gradient + i)
            for j in range(count):
                held = where(load(work, free + j) > 0.0, zero, load(work, stopped + j))
                right = right - load(work, curvature + i * count + j) * held
            store(work, step + i, where(load(work, free + i) > 0.0, right, zero))
        solve(work, curvature, step, free, scratch, load(work, damping))
        for i in range(count):
            place, unit = load(work, theta + i), load(work, inverse + i)
            rest = where(load(work, free + i) > 0.0, load(work, step + i), load(work, stopped + i))
            rest = larger(rest, (load(work, lower + i) - place) * unit)
            rest = smaller(rest, (load(work, upper + i) - place) * unit)
            store(work, stopped + i, where(cut, rest, load(work, stopped + i)))

    return stop


def make_judge(rows: Rows, count: int, evaluate: Any, amplitude: int, misfit: Any, closed: bool) -> Any:
    """Return cost and derivatives at the trial, `lm.evaluate`."""
    scaled, derive = _make_amplitude(rows, count, amplitude, closed), _make_derive(rows, count)
    hold = _make_hold(rows, count, amplitude)
    trial, own_scale, trial_cost, at_sigma, fixed = (
        rows.trial, rows.own_scale, rows.trial_cost, rows.sigma, rows.fixed
    )  # fmt: skip
    scale = rows.scale

    @inline
    def judge(work: Any, weights: Any, told: Any, table: Any, n: int, own: int) -> None:
        prediction = fixed + n + own
        score, bend, jacobian = prediction + n, prediction + 2 * n, prediction + 3 * n
        evaluate(told, work, trial, fixed + n, prediction, jacobian, n)
        for i in range(count):
            store(work, own_scale + i, load(work, scale + i))
        scaled(work, weights, prediction, n)
        cost, sigma = spread(0.0), load(work, at_sigma)
        for m in range(n):
            c, s, b = misfit(load(work, fixed + m), load(work, prediction + m), sigma, table)
            weight = weights[m]
            cost = cost + c * weight
            store(work, score + m, s * weight)
            store(work, bend + m, b * weight)
        derive(work, score, bend, jacobian, n)
        store(work, trial_cost, cost + hold(work))

    return judge


def _make_amplitude(rows: Rows, count: int, amplitude: int, closed: bool) -> Any:
    """Return what gives the amplitude its best value where that has a closed form."""
    trial, lower, upper, own_scale, fixed = rows.trial, rows.lower, rows.upper, rows.own_scale, rows.fixed
    active = closed and amplitude >= 0

    @inline
    def scaled(work: Any, weights: Any, prediction: int, n: int) -> None:
        if active:
            product, energy = spread(0.0), spread(0.0)
            for m in range(n):
                predicted = load(work, prediction + m)
                weighted = predicted * weights[m]
                product = product + weighted * load(work, fixed + m)
                energy = energy + weighted * predicted
            former = load(work, trial + amplitude)
            best = former * (product / energy)
            best = smaller(larger(best, load(work, lower + amplitude)), load(work, upper + amplitude))
            factor = best / former
            store(work, trial + amplitude, best)
            for m in range(n):
                store(work, prediction + m, load(work, prediction + m) * factor)
            # Derivatives by the other parameters are proportional to the amplitude, its own is not.
            for i in range(count):
                if i != amplitude:
                    store(work, own_scale + i, load(work, own_scale + i) * factor)

    return scaled


def _make_derive(rows: Rows, count: int) -> Any:
    """Return gradient and curvature from the derivatives of the signals."""
    gradient, curvature, own_scale = rows.trial_gradient, rows.trial_curvature, rows.own_scale

    @inline
    def derive(work: Any, score: int, bend: int, jacobian: int, n: int) -> None:
        for i in range(count):
            total, unit = spread(0.0), load(work, own_scale + i)
            for m in range(n):
                total = total + load(work, jacobian + i * n + m) * load(work, score + m)
            store(work, gradient + i, unit * total)
            for j in range(i + 1):
                total = spread(0.0)
                for m in range(n):
                    row = load(work, jacobian + i * n + m) * load(work, bend + m)
                    total = total + row * load(work, jacobian + j * n + m)
                total = unit * load(work, own_scale + j) * total
                store(work, curvature + i * count + j, total)
                store(work, curvature + j * count + i, total)

    return derive


def _make_hold(rows: Rows, count: int, amplitude: int) -> Any:
    """Return what adds the derivatives of a prior, and tells its cost; without one its weight is 0."""
    trial, lower, upper = rows.trial, rows.lower, rows.upper
    gradient, curvature, centre, precision = (
        rows.trial_gradient, rows.trial_curvature, rows.centre, rows.precision
    )  # fmt: skip
    pull = rows.pull

    @inline
    def hold(work: Any) -> Any:
        weight, cost = load(work, pull), spread(0.0)
        if any_lane(weight > 0.0):
            for i in range(count):
                if i != amplitude:
                    width = load(work, upper + i) - load(work, lower + i)
                    away = (load(work, trial + i) - load(work, centre + i)) / width
                    force = weight * load(work, precision + i)
                    free = width > 0.0
                    away, force = where(free, away, spread(0.0)), where(free, force, spread(0.0))
                    cost = cost + force * away * away
                    store(work, gradient + i, load(work, gradient + i) - force * away)
                    place = curvature + i * count + i
                    store(work, place, load(work, place) + force)
        return cost

    return hold
