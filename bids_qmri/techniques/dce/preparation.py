"""From signals of a dynamic series to concentrations, and the arterial input that drives them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.estimation.preparation import Preparation, Scan, Voxels, as_measured
from bids_qmri.estimators.base import Estimator
from bids_qmri.estimators.classical.noise import residual_sigma
from bids_qmri.physics.arterial_input import population_aif
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.spoiled_gradient_echo import PLAUSIBLE_T1, signal_to_concentration
from bids_qmri.techniques.dce.baseline import with_baseline_noise
from bids_qmri.techniques.dce.bolus import bolus_arrival
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.dce.settings import DceSettings
from bids_qmri.units import FloatArray

DARK_FRAME = 0.02
"""Share of the median frame's mean signal below which a frame is empty; no bolus quenches a mask so far."""
LONGEST_DELAY = 30.0
"""Longest delay in s that is fitted: of the tissue after the artery, or of a population input."""
LONGEST_PRIOR_DELAY = 12.0
"""Seconds that blood takes at most from the artery of the input to the tissue."""
EARLIEST_INPUT = 6.0
"""Seconds (at least two frames) by which a population input starts before the last baseline frame.

Where the bolus arrives is known to a frame or so. A delay cannot be negative: an input that starts late
biases Ktrans and vp, one that starts early is delayed by the fit."""


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Return the preparation of a dynamic series.

    Raises
    ------
    InputError
        If a frame is dark, there are no baseline frames, or native T1 cannot be seconds.
    """
    noise = partial(residual_sigma, model) if estimator.needs_noise else None
    settings = scan.settings
    if settings is None:
        # Concentrations, by somebody who knows the input.
        bounds = delay_limits(estimator.has_prior, 0.0)
        noise = None if noise is None else partial(noise, bounds=bounds)
        return as_measured(scan, noise_is_common=False, voxel_noise=noise, bounds=bounds)
    assert isinstance(settings, DceSettings)
    assert scan.mean_curve is not None
    curve = scan.mean_curve()
    require_signal(curve)
    baseline = baseline_frames(curve, settings.baseline_volumes)
    protocol, earlier = _driven(settings, baseline.stop)
    bounds = delay_limits(estimator.has_prior, earlier)
    convert = _conversion(settings, scan)
    return Preparation(
        partial(_concentration, partial(convert, baseline=baseline), protocol),
        conversion="concentration",
        bounds=bounds,
        noise_is_common=False,
        voxel_noise=None if noise is None else partial(noise, bounds=bounds),
        widen=partial(with_baseline_noise, model, estimator, convert, baseline),
        baseline=baseline.stop,
        used=_used(settings, scan, baseline),
    )


def _concentration(
    convert: Any, protocol: DceProtocol, signal: FloatArray, voxels: Voxels
) -> tuple[FloatArray, Protocol]:
    return convert(signal, voxels), protocol


def _conversion(settings: DceSettings, scan: Scan) -> Any:
    """Return what turns signals (v, N) of voxels (v,) into concentrations in mmol/L, given a baseline."""
    b1, t10 = scan.maps.get("b1"), _native_t1(settings, scan)

    def convert(signal: FloatArray, voxels: Voxels, baseline: slice | FloatArray) -> FloatArray:
        return signal_to_concentration(
            signal,
            baseline,
            np.full(voxels.size, t10) if isinstance(t10, float) else t10[voxels],
            flip_angle=settings.flip_angle * (1.0 if b1 is None else b1[voxels]),
            repetition_time=settings.repetition_time,
            relaxivity=settings.relaxivity,
        )

    return convert


def _native_t1(settings: DceSettings, scan: Scan) -> float | FloatArray:
    if settings.t10 is not None:
        return settings.t10
    t1 = scan.maps["t10"]
    if "t10" in scan.files:
        inside = scan.mask & (t1 > 0)
        _require_seconds(scan, float(np.nanmedian(t1[inside])) if np.any(inside) else 0.0)
    return t1


def _require_seconds(scan: Scan, median: float) -> None:
    """Refuse a T1 map whose typical value no tissue has in seconds."""
    if not PLAUSIBLE_T1[0] < median < PLAUSIBLE_T1[1]:
        raise InputError(
            f"median T1 inside the mask is {median:g}",
            file=scan.files["t10"],
            needed=f"seconds, between {PLAUSIBLE_T1[0]:g} and {PLAUSIBLE_T1[1]:g}",
            fix="divide a map in milliseconds by 1000",
        )


def _used(settings: DceSettings, scan: Scan, baseline: slice) -> dict[str, Any]:
    b1 = scan.maps.get("b1")
    native = settings.t10 if settings.t10 is not None else scan.facts.get("NativeT1")
    used = {"B1Corrected": b1 is not None, "BaselineVolumes": baseline.stop, "NativeT1": native}
    if b1 is not None:
        used["B1Coverage"] = float(np.mean(np.isfinite(b1[scan.mask])))
    return used


def _driven(settings: DceSettings, n_baseline: int) -> tuple[DceProtocol, float]:
    """Join frame times with the input; return also how long before the last baseline frame it starts."""
    if settings.aif.time is not None and settings.aif.plasma is not None:
        return DceProtocol(settings.time, settings.aif.time, settings.aif.plasma), 0.0
    return population_driven(settings.aif.name, settings.time, n_baseline, settings.hematocrit)


def require_signal(curve: FloatArray) -> None:
    """Refuse a dynamic series with a frame in which next to nothing was recorded: it would pass for washout.

    Parameters
    ----------
    curve
        Mean signal inside the mask, shape (N,).

    Raises
    ------
    InputError
        If a frame is dark.
    """
    dark = np.flatnonzero(curve < DARK_FRAME * np.median(curve))
    if dark.size:
        raise InputError(
            f"mean signal inside the mask is {curve[dark[0]]:g} in frame {dark[0] + 1} of {curve.size}, "
            f"{np.median(curve):g} in the middle one",
            needed="a signal in every frame",
            fix="remove damaged frames from the image and from its frame times",
        )


def baseline_frames(curve: FloatArray, stated: int | None) -> slice:
    """Return the frames before the bolus: as stated, else those before the mean curve begins to rise.

    Raises
    ------
    InputError
        If there is none, or nothing after them.
    """
    count = max(bolus_arrival(curve), 1) if stated is None else stated
    if not 0 < count < curve.size:
        raise InputError(
            f"{count} baseline frames of {curve.size}",
            field="BaselineVolumes",
            needed="at least one frame before the bolus and one after it",
            fix="pass --baseline-volumes",
        )
    return slice(0, count)


def population_driven(
    name: str, time: FloatArray, n_baseline: int, hematocrit: float
) -> tuple[DceProtocol, float]:
    """Join frame times with a population input that starts before the last baseline frame.

    Parameters
    ----------
    name
        Of the population function.
    time
        Frame times in s, (N,).
    n_baseline
        Number of frames before the bolus.
    hematocrit
        Fraction from 0 to 1.

    Returns
    -------
    protocol
        Frames and input.
    earlier
        Seconds by which the input starts before the last baseline frame.
    """
    earlier = max(EARLIEST_INPUT, 2.0 * float(np.median(np.diff(time))))
    start, end = float(time[n_baseline - 1]) - earlier, float(time[-1])
    aif_time, plasma = population_aif(name, start, end, hematocrit)
    return DceProtocol(time, aif_time, plasma), earlier


def delay_limits(has_prior: bool, earlier: float) -> Bounds:
    """Return limits of the delay, in s, after an input that starts `earlier` s before the baseline ends."""
    return {"t0": (0.0, (LONGEST_PRIOR_DELAY if has_prior else LONGEST_DELAY) + earlier)}
