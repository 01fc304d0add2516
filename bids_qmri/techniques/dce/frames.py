"""When the frames of a dynamic series were taken, from whichever sidecar key states it.

Several keys can state it, each in its own way, and converters get some of them wrong; so they must agree.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_qmri.bids.map_units import seconds
from bids_qmri.bids.sidecar import Sidecar, number
from bids_qmri.errors import InputError, caution
from bids_qmri.units import FloatArray

SHORTEST_FRAME, LONGEST_FRAME = 0.2, 120.0
"""s between frames of any perfusion series; outside of it the unit is wrong."""

SHORTEST_FRAME_TR = 0.5
"""s; a shorter RepetitionTime is that of the excitation, which users of DCE write there."""

SHORTEST_SERIES, SHORT_SERIES = 40.0, 90.0
"""s; a first pass alone takes the former, and contrast agent needs more than the latter to leave again."""

AGREE = 0.2
"""Relative difference of two keys that does not matter: one of them may be rounded, or count a pause."""

LISTED = ("VolumeTiming", "FrameTimesStart")
EVEN = ("TemporalResolution", "RepetitionTime", "AcquisitionDuration")


def frame_times(sidecar: Sidecar, n_frames: int, notes: list[str]) -> tuple[FloatArray, str]:
    """Return frame times in s, (N,), and the key they came from.

    The first key that is there counts: VolumeTiming, FrameTimesStart, TemporalResolution, RepetitionTime if
    it is that of a frame, AcquisitionDuration of the whole series. The header's fourth voxel size never
    counts: it is often the excitation's repetition time in ms.

    Parameters
    ----------
    sidecar, n_frames
        Of the series.
    notes
        Assumptions, and keys that contradict a list of times, are added here.

    Raises
    ------
    InputError
        If no key tells, there is not one time per frame, times do not increase, are not in seconds, or no
        list of times is there and keys contradict each other.
    """
    listed = {key: _listed(sidecar, key, n_frames, notes) for key in LISTED if key in sidecar.values}
    steps = _steps(sidecar, n_frames, notes)
    if listed:
        key, time = next(iter(listed.items()))
        for other, values in listed.items():
            if not np.allclose(np.diff(values), np.diff(time), rtol=AGREE, atol=SHORTEST_FRAME):
                raise _contradiction(sidecar, (key, _words(time)), (other, _words(values)))
        step = float(np.median(np.diff(time)))
        for other, value in steps.items():
            if not _agrees(other, value, step, n_frames):
                notes.append(_contradicted(sidecar, (key, step), (other, value)))
        _warn_short(sidecar, key, time, notes)
        return time, key
    for key, value in steps.items():
        step = value / n_frames if key == "AcquisitionDuration" else value
        if key == "AcquisitionDuration":
            notes.append(f"frames taken {step:g} s apart: AcquisitionDuration divided by {n_frames} frames")
        time = step * np.arange(n_frames, dtype=np.float64)
        _require_seconds(sidecar, key, time)
        for other, given in steps.items():
            if not _agrees(other, given, step, n_frames):
                raise _contradiction(sidecar, (key, f"{value:g} s"), (other, f"{given:g} s"), n_frames)
        _warn_short(sidecar, key, time, notes)
        return time, key
    raise InputError(
        "is missing, and no other key tells the time between frames",
        file=sidecar.where("VolumeTiming"),
        field="VolumeTiming",
        needed=f"the start of each of the {n_frames} frames in s (or TemporalResolution: s between frames)",
        fix="add one of the two keys",
    )


def _steps(sidecar: Sidecar, n_frames: int, notes: list[str]) -> dict[str, float]:
    """Return what keys of one number say, in s, in the order in which they count."""
    found: dict[str, float] = {}
    excitation = sidecar.values.get("RepetitionTimeExcitation")
    for key in EVEN:
        value = number(sidecar, key, notes)
        if value is None or (key == "RepetitionTime" and value < SHORTEST_FRAME_TR):
            continue
        # That of the excitation in ms looks like a frame's in s.
        if (
            key == "RepetitionTime"
            and isinstance(excitation, int | float)
            and np.isclose(value, 1000 * excitation, rtol=0.01)
        ):
            continue
        found[key] = value * _unit(sidecar, key, notes)
    return found


def _unit(sidecar: Sidecar, key: str, notes: list[str]) -> float:
    """Return how many s the unit is that a key beside it states, 1 if none does."""
    stated = f"{key}Units" if f"{key}Units" in sidecar.values else f"{key}Unit"
    text = sidecar.values.get(stated)
    if text is None:
        return 1.0
    worth = seconds(str(text))
    if worth is None:
        raise InputError(
            f"is {text!r}",
            file=sidecar.where(stated),
            field=stated,
            needed="a unit of time",
            fix=f"write {key} in s, and leave {stated} out",
        )
    if worth != 1.0:
        notes.append(f"{sidecar.where(stated).name}: {key} read in {text}, as {stated} says")
    return worth


def _agrees(key: str, value: float, step: float, n_frames: int) -> bool:
    """Whether what a key says goes with frames `step` s apart."""
    if key != "AcquisitionDuration":
        return abs(value - step) <= AGREE * step
    # Some write the duration of one frame, some that of all; the last frame may count or not.
    meant = (step, n_frames * step, max(n_frames - 1, 1) * step)
    return any(abs(value - one) <= AGREE * one for one in meant)


def _words(time: FloatArray) -> str:
    return f"frames every {float(np.median(np.diff(time))):g} s"


def _contradiction(
    sidecar: Sidecar, one: tuple[str, str], other: tuple[str, str], n_frames: int | None = None
) -> InputError:
    told = f" for {n_frames} frames" if n_frames and "AcquisitionDuration" in (one[0], other[0]) else ""
    return InputError(
        f"{one[0]} is {one[1]}, but {other[0]} is {other[1]}{told}: they contradict each other",
        file=sidecar.where(one[0]),
        field=f"{one[0]}, {other[0]}",
        needed="one time between frames",
        fix="write the start of every frame in s as VolumeTiming, or correct the wrong key (minutes: multiply"
        " by 60)",
    )


def _contradicted(sidecar: Sidecar, one: tuple[str, float], other: tuple[str, float]) -> str:
    return caution(
        f"puts frames {one[1]:g} s apart, but {other[0]} is {other[1]:g}; {one[0]} is used",
        file=sidecar.where(one[0]),
        field=one[0],
        needed="keys that agree",
        fix=f"correct {other[0]}, or {one[0]} if that is wrong: Ktrans scales with the inverse of time",
    )


def _listed(sidecar: Sidecar, key: str, n_frames: int, notes: list[str]) -> FloatArray:
    values = sidecar.values[key]
    try:
        time = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        time = np.array([np.nan])
    if time.shape != (n_frames,) or not np.all(np.isfinite(time)) or np.any(np.diff(time) <= 0):
        count = len(values) if isinstance(values, list) else "no list of"
        raise InputError(
            f"holds {count} values that are not {n_frames} increasing numbers",
            file=sidecar.where(key),
            field=key,
            needed=f"one start in s for each of the {n_frames} frames, increasing",
            fix="correct the list",
        )
    time = time * _unit(sidecar, key, notes)
    _require_seconds(sidecar, key, time)
    return time


def _require_seconds(sidecar: Sidecar, key: str, time: FloatArray) -> None:
    require_frame_seconds(time, key, sidecar.where(key))


def _warn_short(sidecar: Sidecar, key: str, time: FloatArray, notes: list[str]) -> None:
    if (span := _span(time)) >= SHORT_SERIES:
        return
    notes.append(
        caution(
            f"puts all {time.size} frames within {span:.3g} s",
            file=sidecar.where(key),
            field=key,
            needed="seconds; contrast agent takes minutes to pass",
            fix="multiply by 60 if these are minutes",
        )
    )


def _span(time: FloatArray) -> float:
    return float(time[-1] - time[0] + np.median(np.diff(time)))


def require_frame_seconds(time: FloatArray, field: str, file: Path | None = None) -> None:
    """Refuse frame times in another unit than seconds, or that do not increase.

    Raises
    ------
    InputError
        Naming the distance of the frames.
    """
    step = float(np.median(np.diff(time))) if time.size > 1 else np.nan
    increases = bool(np.all(np.diff(time) > 0))
    if increases and SHORTEST_FRAME <= step <= LONGEST_FRAME and _span(time) >= SHORTEST_SERIES:
        return
    unit = "milliseconds: divide by 1000" if step > LONGEST_FRAME else "minutes: multiply by 60"
    within = f", all {time.size} within {_span(time):.3g}" if increases and step <= LONGEST_FRAME else ""
    raise InputError(
        f"puts frames {step:g} apart{within}",
        file=file,
        field=field,
        needed=f"increasing seconds, {SHORTEST_FRAME:g} to {LONGEST_FRAME:g} between frames, and"
        f" {SHORTEST_SERIES:g} or more in all",
        fix=f"if these are {unit}",
    )
