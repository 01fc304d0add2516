"""What becomes of measured signals before an estimator sees them, whether they come from files or a stream.

Direction averages of diffusion series, limits of the parameters, the arterial input and the baseline of
dynamic series. Called by `interfaces.prepare` and `inline`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.estimators.network_file import read_card
from bids_qmri.estimators.priors import LABELS, LONGEST_PRIOR_DELAY, prior_box
from bids_qmri.models.aif import population_aif
from bids_qmri.models.base import Bounds, Model
from bids_qmri.models.concentration import bolus_arrival
from bids_qmri.models.directions import average_directions
from bids_qmri.models.shells import cluster_shells
from bids_qmri.protocol import DceProtocol, DiffusionProtocol
from bids_qmri.units import FloatArray

DiffusionConverter = Callable[[FloatArray], tuple[FloatArray, DiffusionProtocol]]
"""Signals (v, N) in; what is fitted and its protocol out."""

SINGLE_IMAGES = ("mle", "bayes", "dipyTrr", "dipyVarpro")
"""Labels that fit single diffusion images: a Rician likelihood does not hold for averages, dipy wants all."""

DARK_FRAME = 0.02
"""Share of the median frame's mean signal below which a frame is empty; no bolus quenches a mask so far."""
LONGEST_DELAY = 30.0
"""Longest delay in s that is fitted to a population input; a measured input shares the scan's clock."""
EARLIEST_INPUT = 6.0
"""Seconds (at least two frames) by which a population input starts before the last baseline frame.

Where the bolus arrives is known to a frame or so. A delay cannot be negative: an input that starts late
biases Ktrans and vp, one that starts early is delayed by the fit."""


def direction_average(protocol: DiffusionProtocol) -> DiffusionConverter:
    """Return what averages all images of one b-value (`average_directions`)."""
    groups = cluster_shells(protocol.bvals)[1]
    return lambda signal: average_directions(signal, protocol, groups)


def limits_of(model: Model, label: str, *, given: Bounds, network: Path | None, asked: Bounds) -> Bounds:
    """Return the limits that replace the model's own: of the estimator, and over them those asked for.

    Parameters
    ----------
    model, label
        What is fitted, by which estimator.
    given
        Limits that the series brings with it, such as how late a bolus may arrive.
    network
        A network for one protocol, which knows the limits of its training alone; None: none is used.
    asked
        Limits that a person wants. What the model fixes stays fixed, but for the delay: that it is 0 is a
        choice.
    """
    bounds = dict(given)
    if network is not None:
        bounds |= {
            name: (low, high) for name, (low, high) in read_card(network)["coverage"]["bounds"].items()
        }
    if label in LABELS:
        bounds = dict(prior_box(model, bounds))
    free = {p.name for p in model.parameters if p.bounds[0] < p.bounds[1] or p.name == "t0"}
    return bounds | {name: limits for name, limits in asked.items() if name in free}


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
            way_out="remove damaged frames from the image and from its frame times",
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
            way_out="pass --baseline-volumes",
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


def delay_limits(label: str, earlier: float) -> Bounds:
    """Return limits of the delay, in s, after an input that starts `earlier` s before the baseline ends."""
    return {"t0": (0.0, (LONGEST_PRIOR_DELAY if label in LABELS else LONGEST_DELAY) + earlier)}
