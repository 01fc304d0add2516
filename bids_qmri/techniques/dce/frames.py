"""When the frames of a dynamic series were taken, from whichever sidecar key states it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_qmri.bids.sidecar import Sidecar, number
from bids_qmri.errors import InputError
from bids_qmri.units import FloatArray

SHORTEST_FRAME, LONGEST_FRAME = 0.2, 120.0
"""s between frames of any perfusion series; outside of it the unit is wrong."""

SHORTEST_FRAME_TR = 0.5
"""s; a shorter RepetitionTime is that of the excitation, which users of DCE write there."""


def frame_times(sidecar: Sidecar, n_frames: int, notes: list[str]) -> tuple[FloatArray, str]:
    """Return frame times in s, (N,), and the key they came from.

    The first key that is there counts: VolumeTiming, FrameTimesStart, TemporalResolution, RepetitionTime if
    it is that of a frame, AcquisitionDuration of the whole series. The header's fourth voxel size never
    counts: it is often the excitation's repetition time in ms.

    Raises
    ------
    InputError
        If no key tells, there is not one time per frame, times do not increase, or they are not in seconds.
    """
    for key in ("VolumeTiming", "FrameTimesStart"):
        if key in sidecar.values:
            return _listed(sidecar, key, n_frames), key
    for key in ("TemporalResolution", "RepetitionTime", "AcquisitionDuration"):
        step = number(sidecar, key, notes)
        if step is None or (key == "RepetitionTime" and step < SHORTEST_FRAME_TR):
            continue
        if key == "AcquisitionDuration":
            step /= n_frames
            notes.append(f"frames taken {step:g} s apart: AcquisitionDuration divided by {n_frames} frames")
        time = step * np.arange(n_frames, dtype=np.float64)
        _require_seconds(sidecar, key, time)
        return time, key
    raise InputError(
        "is missing, and no other key tells the time between frames",
        file=sidecar.where("VolumeTiming"),
        field="VolumeTiming",
        needed=f"the start of each of the {n_frames} frames in s (or TemporalResolution: s between frames)",
        fix="add one of the two keys",
    )


def _listed(sidecar: Sidecar, key: str, n_frames: int) -> FloatArray:
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
    _require_seconds(sidecar, key, time)
    return time


def _require_seconds(sidecar: Sidecar, key: str, time: FloatArray) -> None:
    require_frame_seconds(time, key, sidecar.where(key))


def require_frame_seconds(time: FloatArray, field: str, file: Path | None = None) -> None:
    """Refuse frame times in another unit than seconds, or that do not increase.

    Raises
    ------
    InputError
        Naming the distance of the frames.
    """
    step = float(np.median(np.diff(time))) if time.size > 1 else np.nan
    if np.all(np.diff(time) > 0) and SHORTEST_FRAME <= step <= LONGEST_FRAME:
        return
    unit = "milliseconds: divide by 1000" if step > LONGEST_FRAME else "minutes: multiply by 60"
    raise InputError(
        f"puts frames {step:g} apart",
        file=file,
        field=field,
        needed=f"increasing seconds, {SHORTEST_FRAME:g} to {LONGEST_FRAME:g} between frames",
        fix=f"if these are {unit}",
    )
