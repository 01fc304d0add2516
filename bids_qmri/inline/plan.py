"""How the voxels of one series are fed to its estimator: what they share, as soon as it is known.

The same preparation as that of the batch program (`estimation.preparation`); a series that needs neither a
noise level nor a mean curve can be estimated slice by slice, while the rest is still coming.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimation.blocks import Measured, noise_level
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import Preparation, Scan, prepare, require_noise
from bids_qmri.inline.config import Config
from bids_qmri.inline.header import StreamHeader
from bids_qmri.units import FloatArray

Signal = npt.NDArray[Any]


@dataclass(frozen=True)
class Plan:
    """What all voxels of a series share: how they become a fit's input, and the noise of a single image."""

    how: Preparation
    noise: ScanNoise | None = None


def expected_images(config: Config, header: StreamHeader) -> int | None:
    """Return how many images of every slice will come, None if nothing says so."""
    only = config.estimate_by().expected(config.forward)
    if only is not None:
        return only.n_measurements
    listed = any(item.kind == "bvalue" for item in config.forward.protocol.stream)
    return (len(header.diffusion) or None) if listed else None


def needs_whole_series(config: Config) -> bool:
    """Tell whether a slice cannot be estimated before all others are there."""
    if config.forward.protocol.stream_timed:
        return True
    estimator = config.estimate_by()
    if config.sigma is not None or estimator.expected(config.forward) is not None:
        return False
    return estimator.needs_noise or any(name.endswith("Std") for name in config.maps)


def plan_of(config: Config, scan: Scan, sample: Measured | None) -> Plan:
    """Return the plan of a series.

    Parameters
    ----------
    config
        What to compute.
    scan
        What was played out.
    sample
        Voxels spread over the object, to estimate the noise level from; None where `needs_whole_series` says
        that none is needed.

    Raises
    ------
    InputError
        If the scan is not one that the model or the estimator can be used for.
    """
    model, estimator = config.forward, config.estimate_by()
    reason = "" if scan.protocol is None else model.obstacle(scan.protocol)
    if reason:
        raise InputError(f"{config.model} cannot be estimated: {reason}", needed="a series made for it")
    require_noise(model, estimator, scan.protocol, config.sigma)
    how = prepare(model, estimator, scan, config.bounds)
    if config.sigma is not None:
        return Plan(replace(how, voxel_noise=None), ScanNoise.told(config.sigma))
    return Plan(how, None if sample is None else noise_level(model, how, sample))


def mean_curve(signals: Sequence[Signal]) -> FloatArray:
    """Return the mean signal, (N,), of voxels that are finite throughout, of several arrays (v, N)."""
    whole = [signal[np.all(np.isfinite(signal), axis=1)] for signal in signals]
    count = sum(len(signal) for signal in whole)
    return np.asarray(
        np.sum([signal.sum(axis=0, dtype=np.float64) for signal in whole], axis=0) / max(count, 1)
    )
