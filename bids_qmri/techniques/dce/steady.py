"""What the mean curve of a dynamic series says of its first frames, and of the kind of contrast.

Signals become concentrations by the mean of the frames before the bolus: one frame among them that is not in
the steady state, or already holds contrast agent, changes every concentration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_qmri.errors import InputError, caution
from bids_qmri.techniques.dce.bolus import bolus_arrival
from bids_qmri.techniques.dce.settings import DceSettings
from bids_qmri.units import FloatArray

UNSTEADY = 0.04
"""Relative difference to the frames that follow at which a first frame is not in the steady state."""

MOST_UNSTEADY = 5
"""First frames that may not be."""

FALL = 0.05
"""Relative fall of the mean signal, twice as deep as any rise, that is not that of T1."""

ENHANCED = 0.2
"""Share of the rise by which a frame before the bolus holds contrast agent."""


@dataclass(frozen=True)
class Beginning:
    """How a dynamic series begins.

    Parameters
    ----------
    unsteady
        First frames that are left out.
    baseline
        Number of frames before the bolus that follow them.
    notes
        What a person should know.
    """

    unsteady: int
    baseline: int
    notes: tuple[str, ...] = ()


def beginning(curve: FloatArray, settings: DceSettings) -> Beginning:
    """Return which frames show the tissue before contrast agent.

    Parameters
    ----------
    curve
        Mean signal inside the mask, shape (N,).
    settings
        Which may state the frames before the bolus, by their number from the first one on.

    Raises
    ------
    InputError
        If the signal falls, there is no frame before the bolus, or nothing after it.
    """
    require_rise(curve)
    stated = settings.baseline_volumes
    unsteady = unsteady_frames(curve, stated)
    rest = curve[unsteady:]
    count = max(bolus_arrival(rest), 1) if stated is None else stated - unsteady
    if not 0 < count < rest.size:
        raise InputError(
            f"{count} baseline frames of {rest.size}",
            field="BaselineVolumes",
            needed="at least one frame before the bolus and one after it",
            fix="pass --baseline-volumes",
        )
    notes = []
    if unsteady:
        level = float(np.median(rest[:count]))
        seen = ", ".join(f"{value / level:.3g}" for value in curve[:unsteady])
        which = "frame 1 is" if unsteady == 1 else f"frames 1 to {unsteady} are"
        notes.append(
            f"{_name(settings)}{which} {seen} times as bright as the frames before the bolus, not in the"
            " steady state: left out of baseline and fit; fix: remove them from the image and its frame times"
            " if that is right, else pass --baseline-volumes 1"
        )
    return Beginning(unsteady, count, (*notes, *_doubts(rest, count, unsteady, settings)))


def require_rise(curve: FloatArray) -> None:
    """Refuse a series whose signal falls with contrast agent, as that of T2* does.

    Raises
    ------
    InputError
        Naming by how much.
    """
    # One frame before contrast agent may be all there is; the first one may be too bright.
    first = float(curve[:3].min())
    after = curve[1:]
    fall, rise = first - float(after.min()), float(after.max()) - first
    if fall > FALL * first and fall > 2.0 * max(rise, 0.0):
        raise InputError(
            f"mean signal inside the mask falls from {first:.4g} to {after.min():.4g} in frame"
            f" {int(after.argmin()) + 2} and never rises above {after.max():.4g}",
            field="image",
            needed="a T1-weighted series that begins before contrast agent and rises with it",
            fix="leave the series out if it is T2*-weighted (DSC), or add the frames before contrast agent",
        )


def unsteady_frames(curve: FloatArray, stated: int | None) -> int:
    """Return how many first frames are not in the steady state: far from the baseline that follows them.

    Parameters
    ----------
    curve
        Mean signal, (N,).
    stated
        Frames before the bolus, if that is stated; one alone is taken as it is.
    """
    for first in range(min(MOST_UNSTEADY, curve.size // 4)):
        rest = curve[first + 1 :]
        arrival = bolus_arrival(rest) if int(np.argmax(rest)) > 0 else 0
        count = arrival if stated is None else min(stated - first - 1, max(arrival, 1))
        if count < 1:
            return first
        level = float(np.median(rest[:count]))
        spread = float(np.ptp(rest[:count])) if count > 1 else 0.0
        off = float(curve[first]) - level
        # Fewer frames cannot tell a dark first frame from the first frame of the bolus.
        told = off > 0 or count > 2
        if not told or abs(off) <= max(UNSTEADY * level, 2.0 * spread):
            return first
    return 0


def _doubts(rest: FloatArray, count: int, unsteady: int, settings: DceSettings) -> list[str]:
    """Say where frames before the bolus disagree."""
    before, peak = rest[:count], float(rest.max())
    arrival = bolus_arrival(rest) if int(np.argmax(rest)) > 0 else 0
    level = float(np.median(before[: max(min(arrival, count), 1)]))
    rise = peak - level
    late = [i for i in range(arrival + 1, count) if before[i] - level > ENHANCED * rise]
    if settings.baseline_volumes is not None and late and rise > UNSTEADY * level:
        seen = f"{before[late[0]] / level - 1:.0%} in frame {late[0] + unsteady + 1}"
        return [
            caution(
                f"is {settings.baseline_volumes}, but mean signal is up by {seen}: contrast agent has"
                " arrived, and Ktrans comes out too low",
                file=settings.where,
                field=_baseline_key(settings),
                needed=f"frames before the bolus (about {arrival + unsteady} by the mean curve)",
                fix="correct it, or pass --baseline-volumes",
            )
        ]
    worst = int(np.argmax(np.abs(before - level)))
    if count > 1 and abs(before[worst] / level - 1) > UNSTEADY:
        return [
            caution(
                f"mean signal of frame {worst + unsteady + 1}, before the bolus, is"
                f" {before[worst] / level:.3g} times that of the other frames there",
                file=settings.where,
                field=_baseline_key(settings),
                needed="equal signals before contrast agent",
                fix="look for motion or a change of gain, remove bad frames, or pass --baseline-volumes",
            )
        ]
    return []


def _baseline_key(settings: DceSettings) -> str:
    origin = settings.origin.get("baseline_volumes", "").removeprefix("sidecar ")
    return origin if origin in ("BaselineVolumes", "BolusArrivalTime") else "BaselineVolumes"


def _name(settings: DceSettings) -> str:
    return "" if settings.image is None else f"{settings.image.name}: "
