"""From signals of a dynamic series to concentrations, and the arterial input that drives them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.errors import InputError, caution
from bids_qmri.estimation.preparation import Preparation, Scan, Voxels, as_measured
from bids_qmri.estimators.base import Estimator, FitResult
from bids_qmri.estimators.classical.noise import residual_sigma
from bids_qmri.physics.arterial_input import population_aif
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.spoiled_gradient_echo import PLAUSIBLE_T1, signal_to_concentration
from bids_qmri.techniques.dce.baseline import with_baseline_noise
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.dce.settings import DceSettings
from bids_qmri.techniques.dce.steady import Beginning, beginning
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
    begun = beginning(curve, settings)
    steady, baseline = slice(begun.unsteady, None), slice(0, begun.baseline)
    protocol, earlier = _driven(settings, settings.time[steady], begun.baseline)
    bounds = delay_limits(estimator.has_prior, earlier)
    notes: list[str] = []
    convert = _conversion(settings, scan, notes)
    return Preparation(
        partial(_concentration, partial(convert, baseline=baseline), protocol, steady),
        conversion="concentration",
        bounds=bounds,
        noise_is_common=False,
        voxel_noise=None if noise is None else partial(noise, bounds=bounds),
        widen=partial(_widened, steady, partial(with_baseline_noise, model, estimator, convert, baseline)),
        baseline=begun.unsteady + begun.baseline,
        used=_used(settings, scan, begun),
        notes=(*begun.notes, *notes),
    )


def _concentration(
    convert: Any, protocol: DceProtocol, steady: slice, signal: FloatArray, voxels: Voxels
) -> tuple[FloatArray, Protocol]:
    return convert(signal[:, steady], voxels), protocol


def _widened(
    steady: slice,
    widen: Any,
    how: Preparation,
    measured: tuple[FloatArray, Voxels],
    protocol: Protocol,
    noise: Noise | None,
    fit: FitResult,
) -> FitResult:
    """Let the noise of the baseline see the frames that are fitted."""
    signal, voxels = measured
    widened: FitResult = widen(how, (signal[:, steady], voxels), protocol, noise, fit)
    return widened


def _conversion(settings: DceSettings, scan: Scan, notes: list[str]) -> Any:
    """Return what turns signals (v, N) of voxels (v,) into concentrations in mmol/L, given a baseline."""
    b1, t10 = scan.maps.get("b1"), _native_t1(settings, scan, notes)

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


def _native_t1(settings: DceSettings, scan: Scan, notes: list[str]) -> float | FloatArray:
    if settings.t10 is not None:
        return settings.t10
    t1 = scan.maps["t10"]
    if "t10" not in scan.files:
        return t1
    if settings.t10_is_rate:
        t1 = np.where(t1 > 0, 1.0 / np.where(t1 > 0, t1, 1.0), 0.0)
    inside = scan.mask & (t1 > 0)
    median = float(np.nanmedian(t1[inside])) if np.any(inside) else 0.0
    return t1 * _seconds(scan.files["t10"], median, settings.t10_unit, notes)


def _seconds(file: Path, median: float, stated: float | None, notes: list[str]) -> float:
    """Return how many s one unit of a T1 map is: as stated, else by its median, with a warning."""
    worth = stated
    if worth is None:
        worth = 1.0 if median < PLAUSIBLE_T1[1] else 1e-3
        unit = "s" if worth == 1.0 else "ms"
        notes.append(
            caution(
                f"no unit is stated; median T1 inside the mask is {median:.4g}, read as {unit}",
                file=file,
                field="Units",
                needed="the unit of the map",
                fix=f'write Units "{unit}" in its sidecar, or "1/s" if it holds R1',
            )
        )
    if not PLAUSIBLE_T1[0] < median * worth < PLAUSIBLE_T1[1]:
        raise InputError(
            f"median T1 inside the mask is {median * worth:g} s",
            file=file,
            field="Units",
            needed=f"seconds, between {PLAUSIBLE_T1[0]:g} and {PLAUSIBLE_T1[1]:g}",
            fix="correct its Units, or divide a map in milliseconds by 1000",
        )
    if stated == 1e-3:
        notes.append(f"{file.name}: median T1 {median:.4g} inside the mask, read in ms as Units says")
    return worth


def _used(settings: DceSettings, scan: Scan, begun: Beginning) -> dict[str, Any]:
    b1 = scan.maps.get("b1")
    native = settings.t10 if settings.t10 is not None else scan.facts.get("NativeT1")
    used: dict[str, Any] = {
        "B1Corrected": b1 is not None,
        "BaselineVolumes": begun.unsteady + begun.baseline,
        "NativeT1": native,
    }
    if begun.unsteady:
        used["FramesLeftOut"] = begun.unsteady
    if settings.image is not None:
        used["DynamicSeries"] = settings.image
    if settings.aif.file is not None:
        used["ArterialInputFile"] = settings.aif.file
    if b1 is not None:
        used["B1Coverage"] = float(np.mean(np.isfinite(b1[scan.mask])))
    return used


def _driven(settings: DceSettings, time: FloatArray, n_baseline: int) -> tuple[DceProtocol, float]:
    """Join frame times with the input; return also how long before the last baseline frame it starts."""
    if settings.aif.time is not None and settings.aif.plasma is not None:
        return DceProtocol(time, settings.aif.time, settings.aif.plasma), 0.0
    return population_driven(settings.aif.name, time, n_baseline, settings.hematocrit)


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
