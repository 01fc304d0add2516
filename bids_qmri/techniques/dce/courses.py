"""What the page of a contrast-enhanced series shows before its maps: the input, and what the tissue did."""

from __future__ import annotations

import numpy as np

from bids_qmri.physics.course import Course
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.units import FloatArray

TIME = "time (s)"
POINTS = 200
"""Of an input that is finer than that: a page does not show more."""


def courses(concentration: FloatArray, protocol: DceProtocol, baseline: int | None) -> tuple[Course, ...]:
    """Return the arterial input and the mean curve of the tissue.

    Parameters
    ----------
    concentration
        In voxels spread over the mask, (v, N), mmol/L; NaN where it is unknown.
    protocol
        Frame times and input.
    baseline
        Frames before the contrast agent, of the N; None: not known.
    """
    inside = (protocol.aif_time >= protocol.time[0]) & (protocol.aif_time <= protocol.time[-1])
    known = np.flatnonzero(inside)
    shown = known[:: max(known.size // POINTS, 1)]
    plasma = Course(
        f"Arterial input: concentration in plasma, which arrives at {protocol.arrival:.4g} s.",
        TIME,
        "plasma (mmol/L)",
        _short(protocol.aif_time[shown]),
        _short(protocol.aif[shown]),
        {"arrival": round(protocol.arrival, 2)},
    )
    finite = concentration[np.all(np.isfinite(concentration), axis=1)]
    if not len(finite):
        return (plasma,)
    end = None if baseline is None else round(float(protocol.time[baseline - 1]), 2)
    said = "" if end is None else f"; the baseline ends at {end:g} s"
    tissue = Course(
        f"Mean concentration of {len(finite)} voxels spread over the mask{said}.",
        TIME,
        "tissue (mmol/L)",
        _short(protocol.time),
        _short(finite.mean(axis=0)),
        {} if end is None else {"end of the baseline": end},
    )
    return plasma, tissue


def _short(values: FloatArray) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
