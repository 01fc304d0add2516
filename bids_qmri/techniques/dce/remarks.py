"""What to say of a dynamic scan whose residuals speak of another clock, or whose images jump.

Found through the catalogue by `interfaces.fit`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.preparation import Preparation
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.physics.model import Model
from bids_qmri.techniques.dce.preparation import LONGEST_DELAY, LONGEST_PRIOR_DELAY
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.units import FloatArray

SAMPLE = 300
"""Voxels of the most uptake that are fitted twice."""

BETTER = 12.0
"""Fall of chi-squared that noise does not bring about."""

MANY = 0.2
"""Share of voxels with such a fall that a person should know of."""


EARLIER = 30.0
"""Seconds by which an input is moved to an earlier time, to see whether it came after the tissue."""

LEAST_LATE = 2.0
"""Seconds, at least half a frame, by which an input comes after the tissue if it does."""

Limits = tuple[float, float]

FREE: Limits = (0.0, LONGEST_DELAY)
"""s; of a free delay."""

JUMP = 0.04
"""Relative change of a whole image between two frames that is not that of contrast agent."""


def remarks_on(
    model: Model, how: Preparation, measured: tuple[FloatArray, npt.NDArray[np.intp]]
) -> tuple[str, ...]:
    """Return what to say; nothing where the delay fits, and images change as contrast agent makes them.

    Parameters
    ----------
    model, how
        What is fitted, and what goes into it.
    measured
        Signals (V, N) of voxels spread over the scan, and the voxels.
    """
    said = jumps(measured[0])
    signal, protocol = how.convert(*measured)
    finite = np.flatnonzero(np.all(np.isfinite(signal), axis=1))
    chosen = finite[np.argsort(-np.abs(signal[finite]).sum(axis=1))[:SAMPLE]]
    if not chosen.size or not isinstance(protocol, DceProtocol):
        return said
    bounds = dict(how.bounds or {})
    low, high = bounds.get("t0", (0.0, 0.0))
    if low == high:
        return (*said, *_other_delay(model, bounds, signal[chosen], protocol))
    # A population input begins before the bolus on purpose.
    if high > LONGEST_DELAY:
        return said
    table = how.used.get("ArterialInputFile")
    name = table.name if isinstance(table, Path) else "arterial input"
    return (
        *said,
        *(f"{name}: time: {text}" for text in _other_clock(model, bounds, signal[chosen], protocol)),
    )


def _other_delay(
    model: Model, bounds: dict[str, Limits], signal: FloatArray, protocol: DceProtocol
) -> tuple[str, ...]:
    """Say where a delay that a person has fixed fits far worse than a free one."""
    fixed = bounds.get("t0", (0.0, 0.0))
    late, free = _better(
        model, signal, (protocol, {**bounds, "t0": fixed}), (protocol, {**bounds, "t0": FREE})
    )
    if np.mean(late) < MANY:
        return ()
    delay = float(np.median(free[late]))
    return (
        f"the delay is fixed at {fixed[0]:g} s, but {np.mean(late):.0%} of the voxels of most uptake fit far "
        f"better with one of {delay:.1f} s: leave t0 out of --bounds, or widen it",
    )


def _other_clock(
    model: Model, bounds: dict[str, Limits], signal: FloatArray, protocol: DceProtocol
) -> tuple[str, ...]:
    """Say where a measured input arrives after the tissue, or long before it."""
    earlier = replace(protocol, aif_time=protocol.aif_time - EARLIER)
    moved = {**bounds, "t0": (0.0, EARLIER + LONGEST_DELAY)}
    better, delays = _better(model, signal, (protocol, {**bounds, "t0": FREE}), (earlier, moved))
    delays = delays - EARLIER
    frame = float(np.median(np.diff(protocol.time)))
    late = better & (delays < -max(LEAST_LATE, frame / 2))
    fix = "put both on one clock (a table whose time 0 is the injection needs its time added)"
    if np.mean(late) >= MANY:
        after = -float(np.median(delays[late]))
        return (
            f"the input arrives {after:.1f} s after the tissue in {np.mean(late):.0%} of the voxels of most"
            f" uptake, which cannot be: its times are not those of the frames; needed: one clock; fix: {fix}",
        )
    typical = float(np.median(delays))
    if typical <= max(LONGEST_PRIOR_DELAY, 2 * frame):
        return ()
    return (
        f"the tissue follows the input after {typical:.1f} s, but blood takes {LONGEST_PRIOR_DELAY:g} s at"
        f" most: its times may not be those of the frames; needed: one clock; fix: {fix}",
    )


Trial = tuple[DceProtocol, dict[str, Limits]]


def _better(
    model: Model, signal: FloatArray, one: Trial, other: Trial
) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """Return in which voxels the other trial fits far better than the one, and its delays in s, (V,)."""
    fits = [Lsq().fit(model, signal, protocol, bounds=bounds) for protocol, bounds in (one, other)]
    count = signal.shape[1]
    noise = fits[1].residual * np.sqrt(count / max(count - len(model.parameters), 1))
    with np.errstate(all="ignore"):
        fall = count * (fits[0].residual ** 2 - fits[1].residual ** 2) / noise**2
    return fall > BETTER, np.asarray(fits[1].maps["t0"])


def jumps(signal: FloatArray) -> tuple[str, ...]:
    """Say where whole images change by one factor from a frame to the next, as with the gain of a receiver.

    Parameters
    ----------
    signal
        Measured signals of voxels spread over the scan, (V, N).
    """
    usable = signal[np.all(np.isfinite(signal) & (signal > 0), axis=1)]
    if len(usable) < 8 or signal.shape[1] < 6:
        return ()
    step = np.diff(np.log(usable), axis=1)
    typical = np.median(step, axis=0)
    low, high = np.quantile(step, (0.1, 0.9), axis=0)
    # All voxels alike, unlike contrast agent, and alone among its neighbours, unlike its arrival and return.
    alike = (np.abs(typical) > JUMP) & (high - low < np.abs(typical))
    padded = np.pad(np.abs(typical), 1)
    alone = np.maximum(padded[:-2], padded[2:]) < np.abs(typical) / 3
    curve = usable.mean(axis=0)
    arrival, peak = _upslope(curve)
    elsewhere = (np.arange(step.shape[1]) + 1 < arrival) | (np.arange(step.shape[1]) > peak)
    found = [int(i) for i in np.flatnonzero(alike & alone & elsewhere) if i > 0]
    if not found:
        return ()
    frame = found[0]
    return (
        f"the whole image changes by a factor of {np.exp(typical[frame]):.3g} from frame {frame + 1} to"
        f" {frame + 2}, as no contrast agent does: a change of receiver gain or scale; needed: one scale for"
        " all frames; fix: scale them to one gain, or leave out those before or after the change",
    )


def _upslope(curve: FloatArray) -> tuple[int, int]:
    """Return the first frame in which the mean curve rises steeply, and the last one."""
    rises = np.diff(curve)
    steep = np.flatnonzero(rises > 0.2 * rises.max()) if rises.max() > 0 else np.zeros(0, int)
    return (int(steep[0]) + 1, int(steep[-1]) + 1) if steep.size else (curve.size, curve.size)
