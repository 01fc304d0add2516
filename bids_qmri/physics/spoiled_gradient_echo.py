"""Spoiled-gradient-echo signal to contrast agent concentration and back.

Exact inversion of the steady-state signal in the fast-exchange limit, R1(t) = 1/T10 + r1 C(t), with T2* decay
neglected. Called before the Tofts models are fitted to a dynamic series; arrays are voxels first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.physics.protocol import StreamField
from bids_qmri.units import FloatArray

FLIP_ANGLE = StreamField(
    "flip_angle",
    "flip angle",
    ("FlipAngle", "FlipAngle_deg", "fa"),
    header="flipAngle_deg",
    otherwise="flipAngle_deg in the XML header",
)
"""In degrees."""
REPETITION_TIME = StreamField(
    "repetition_time",
    "repetition time",
    ("RepetitionTime", "TR"),
    header="TR",
    otherwise="TR in the XML header",
    scale=1e-3,
)
"""In s, listed in ms."""

PLAUSIBLE_RELAXIVITY = (1.0, 50.0)
"""L/mmol/s; of any contrast agent at any field."""

PLAUSIBLE_T1 = (0.05, 6.0)
"""s; native T1 of any tissue at any field. Milliseconds lie far outside."""


def signal_to_concentration(
    signal: npt.ArrayLike,
    baseline: npt.ArrayLike | slice,
    t10: npt.ArrayLike,
    *,
    flip_angle: npt.ArrayLike,
    repetition_time: float,
    relaxivity: float,
) -> FloatArray:
    """Convert signals of a spoiled gradient echo to concentrations.

    Parameters
    ----------
    signal
        Signals, any scale, shape (V, N).
    baseline
        Signal before the bolus, shape (V,), or the frames whose mean it is, as a slice.
    t10
        Native T1 in s, one number or shape (V,).
    flip_angle
        Actual flip angle in rad, one number or shape (V,); nominal times B1+ where a map is known.
    repetition_time
        Excitation repetition time in s.
    relaxivity
        Longitudinal relaxivity r1 in L/mmol/s.

    Returns
    -------
    ndarray
        Concentrations in mmol/L, shape (V, N). NaN where no relaxation rate explains the signal (it is
        negative, or above what full relaxation gives), and in all frames of voxels without a positive,
        finite baseline and T1.

    Notes
    -----
    Negative concentrations from noise are kept, because clipping them would bias every fit; the lowest is
    -1 / (T10 r1), at which R1 and the signal vanish.
    """
    s = np.asarray(signal, dtype=np.float64)
    s_b = (
        s[:, baseline].mean(axis=1) if isinstance(baseline, slice) else np.asarray(baseline, dtype=np.float64)
    )
    t1 = np.asarray(t10, dtype=np.float64)
    usable = np.isfinite(t1) & (t1 > 0) & np.isfinite(s_b) & (s_b > 0)
    t1 = np.where(usable, t1, np.nan)
    cosine = np.cos(np.asarray(flip_angle, dtype=np.float64))
    e10 = np.exp(-repetition_time / t1)
    relaxed = s_b * (1 - e10 * cosine) / (1 - e10)
    e1 = (relaxed[..., None] - s) / (relaxed[..., None] - s * cosine[..., None])
    e1 = np.where((e1 > 0) & (e1 <= 1), e1, np.nan)
    return np.asarray((-np.log(e1) / repetition_time - 1 / t1[..., None]) / relaxivity)


def concentration_to_signal(
    concentration: npt.ArrayLike,
    baseline: npt.ArrayLike,
    t10: npt.ArrayLike,
    *,
    flip_angle: npt.ArrayLike,
    repetition_time: float,
    relaxivity: float,
) -> FloatArray:
    """Return the signals, shape (V, N), of concentrations in mmol/L, shape (V, N).

    Parameters
    ----------
    concentration
        Concentrations in mmol/L, shape (V, N).
    baseline
        Signal without contrast agent, one number or shape (V,).
    t10, flip_angle, repetition_time, relaxivity
        As in `signal_to_concentration`.
    """
    t1 = np.asarray(t10, dtype=np.float64)[..., None]
    cosine = np.cos(np.asarray(flip_angle, dtype=np.float64))[..., None]
    e10 = np.exp(-repetition_time / t1)
    rate = 1 / t1 + relaxivity * np.asarray(concentration, dtype=np.float64)
    e1 = np.exp(-repetition_time * rate)
    relaxed = np.asarray(baseline, dtype=np.float64)[..., None] * (1 - e10 * cosine) / (1 - e10)
    return np.asarray(relaxed * (1 - e1) / (1 - e1 * cosine))
