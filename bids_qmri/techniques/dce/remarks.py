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
from bids_qmri.physics.protocol import Protocol
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

JUMP = 0.05
"""Relative change of a whole image between two frames that is not that of contrast agent."""

FIRST_PASS = 60.0
"""s after its arrival in which contrast agent changes signals fast."""


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
    signal, protocol = how.convert(*measured)
    said = _jumps_named(how, measured[0], protocol)
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


def _jumps_named(how: Preparation, measured: FloatArray, protocol: Protocol) -> tuple[str, ...]:
    """Say where the image jumps, with the name of its file."""
    if not isinstance(protocol, DceProtocol) or protocol.time.size < 2:
        return ()
    found = jumps(measured, float(np.median(np.diff(protocol.time))))
    series = how.used.get("DynamicSeries")
    return tuple(f"{series.name}: {text}" if isinstance(series, Path) else text for text in found)


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


def jumps(signal: FloatArray, frame: float) -> tuple[str, ...]:
    """Say where whole images change by one factor from a frame to the next, as with the gain of a receiver.

    Parameters
    ----------
    signal
        Measured signals of voxels spread over the scan, (V, N).
    frame
        Time between frames in s.
    """
    usable = signal[np.all(np.isfinite(signal) & (signal > 0), axis=1)]
    if len(usable) < 8 or signal.shape[1] < 6:
        return ()
    step = np.diff(np.log(usable), axis=1)
    typical = np.median(step, axis=0)
    low, high = np.quantile(step, (0.1, 0.9), axis=0)
    spread = high - low
    # All voxels alike but for noise, unlike contrast agent, and alone among its neighbours.
    alike = (np.abs(typical) > JUMP) & (spread < 1.5 * np.median(spread) + 0.25 * np.abs(typical))
    padded = np.pad(np.abs(typical), 1)
    alone = np.maximum(padded[:-2], padded[2:]) < np.abs(typical) / 3
    bolus = _bolus(typical, spread, max(3, int(np.ceil(FIRST_PASS / frame))))
    found = [int(i) for i in np.flatnonzero(alike & alone) if i > 0 and i not in bolus]
    if not found:
        return ()
    first = found[0]
    return (
        f"the whole image changes by a factor of {np.exp(typical[first]):.3g} from frame {first + 1} to"
        f" {first + 2}, as no contrast agent does: a change of receiver gain or scale; needed: one scale for"
        " all frames; fix: scale them to one gain, or leave out those before or after the change",
    )


def _bolus(typical: FloatArray, spread: FloatArray, after: int) -> range:
    """Return the steps of the rise that differs most by voxel, the bolus, and so many after its beginning."""
    rises = np.flatnonzero(typical > JUMP / 2)
    if not rises.size:
        return range(0)
    runs = np.split(rises, np.flatnonzero(np.diff(rises) > 1) + 1)
    longest = max(runs, key=lambda run: float(spread[run].sum()))
    return range(int(longest[0]), max(int(longest[-1]) + 3, int(longest[0]) + after))
