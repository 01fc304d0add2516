"""How the voxels of one series are fed to its estimator: what they share, as soon as it is known.

The same inputs as those of the batch program (`estimators.inputs`); a series that needs neither a noise level
nor a mean curve can be estimated slice by slice, while the rest is still coming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimation.inputs import (
    SINGLE_IMAGES,
    baseline_frames,
    delay_limits,
    direction_average,
    limits_of,
    population_driven,
    require_signal,
)
from bids_qmri.techniques.noddi.multishell import on_full_shells
from bids_qmri.estimators.classical.noise import pooled_sigma, residual_sigma
from bids_qmri.estimation.obstacles import obstacle
from bids_qmri.estimators.registry import NEED_NOISE, SCHEME_NETWORKS, noddi_network
from bids_qmri.techniques.noddi.shell_noise import shell_sigma
from bids_qmri.inline.config import Config
from bids_qmri.inline.header import StreamHeader
from bids_qmri.physics.model import Bounds
from bids_qmri.physics.spoiled_gradient_echo import signal_to_concentration
from bids_qmri.models.registry import get_model
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

Signal = npt.NDArray[Any]
Converter = Callable[[Signal], tuple[Signal, Protocol]]

NOISE_SAMPLE = 8192
"""Voxels from which the noise level of a scan is estimated: enough for 1 %, a fraction of a second."""


@dataclass(frozen=True)
class Plan:
    """What all voxels of a series share.

    Parameters
    ----------
    convert
        Takes signals (v, N); returns what is fitted and its protocol.
    bounds
        Limits that replace the model's own.
    sigma
        Noise level of a single image, None if unknown or not needed.
    voxel_noise
        Takes converted signals and their protocol, returns the noise level of each voxel.
    """

    convert: Converter
    bounds: Bounds | None = None
    sigma: float | None = None
    voxel_noise: Callable[[Signal, Any], FloatArray] | None = None


def expected_images(config: Config, header: StreamHeader) -> int | None:
    """Return how many images of every slice will come, None if nothing says so."""
    if config.family != "dwi":
        return None
    scheme = scheme_of(config)
    return (len(header.diffusion) or None) if scheme is None else scheme.n_measurements


def scheme_of(config: Config) -> DiffusionProtocol | None:
    """Return the scheme that a network was trained for, None for other methods."""
    if config.method not in SCHEME_NETWORKS:
        return None
    from bids_qmri.techniques.noddi.scheme_network import load_scheme_network

    return load_scheme_network(noddi_network(config.method, config.network)).scheme


def needs_whole_series(config: Config) -> bool:
    """Tell whether a slice cannot be estimated before all others are there."""
    if config.family == "dce":
        return True
    if config.sigma is not None or config.method in SCHEME_NETWORKS:
        return False
    return config.method in NEED_NOISE or any(name.endswith("Std") for name in config.maps)


def plan_of(config: Config, protocol: DiffusionProtocol | VfaProtocol, sample: Signal | None) -> Plan:
    """Return the plan of a diffusion series or of flip angles.

    Parameters
    ----------
    config
        What to compute.
    protocol
        What was played out.
    sample
        Signals (v, N) of voxels spread over the object (`noise_sample`), to estimate the noise level from;
        None where `needs_whole_series` says that none is needed.
    """

    def single(signal: Signal) -> tuple[Signal, Protocol]:
        return signal, protocol

    averaged: Converter = single
    if isinstance(protocol, DiffusionProtocol):
        if reason := obstacle(config.model, protocol):
            raise InputError(f"{config.model} cannot be estimated: {reason}", needed="a series made for it")
        if config.model == "ivim":
            averaged = _as_float(direction_average(protocol))
        elif config.method == "ncde":
            averaged = partial(_part, *on_full_shells(protocol))
    convert = single if config.method in SINGLE_IMAGES else averaged
    plan = Plan(convert, _limits(config, {}), config.sigma)
    if sample is None or config.sigma is not None:
        return plan
    # Single diffusion images have the noise of averages: between directions, anisotropy would count as noise.
    return Plan(plan.convert, plan.bounds, _noise(config, *averaged(sample), plan.bounds))


def dynamic_plan(
    config: Config, time: FloatArray, curve: FloatArray, excitation: tuple[float, float]
) -> Plan:
    """Return the plan of a dynamic series.

    Parameters
    ----------
    config
        What to compute.
    time
        Frame times in s, (N,).
    curve
        Mean signal of the object, (N,).
    excitation
        Flip angle in rad and repetition time in s.
    """
    assert config.t10 is not None
    assert config.relaxivity is not None
    assert config.hematocrit is not None
    require_signal(curve)
    baseline = baseline_frames(curve, config.baseline_volumes)
    protocol, earlier = population_driven(config.aif, time, baseline.stop, config.hematocrit)
    concentration = partial(
        signal_to_concentration,
        baseline=baseline,
        t10=config.t10,
        flip_angle=excitation[0],
        repetition_time=excitation[1],
        relaxivity=config.relaxivity,
    )

    given = delay_limits(config.method, earlier)
    noise = partial(residual_sigma, get_model(config.model), bounds=given)
    return Plan(
        lambda signal: (concentration(signal), protocol),
        _limits(config, given),
        config.sigma,
        noise if config.method in NEED_NOISE and config.sigma is None else None,
    )


def noise_sample(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return voxels spread over a mask, as indices into it."""
    inside = np.flatnonzero(mask)
    return inside[:: max(1, inside.size // NOISE_SAMPLE)]


def _part(images: npt.NDArray[np.intp], protocol: Protocol, signal: Signal) -> tuple[Signal, Protocol]:
    return signal[:, images], protocol


def _as_float(convert: Callable[[FloatArray], tuple[FloatArray, Protocol]]) -> Converter:
    return lambda signal: convert(signal.astype(np.float64))


def _limits(config: Config, given: Bounds) -> Bounds | None:
    if config.model == "noddi":
        return dict(config.bounds) or None
    model, network = get_model(config.model), config.network
    return limits_of(model, config.method, given=given, network=network, asked=config.bounds) or None


def _noise(config: Config, signal: Signal, protocol: Any, bounds: Bounds | None) -> float | None:
    """Return the noise level of the scan, None if there are too few measurements to tell."""
    if config.model == "noddi":
        return shell_sigma(signal, protocol, config.d_par)
    model = get_model(config.model)
    if protocol.n_measurements <= len(model.parameters):
        return None
    return pooled_sigma(model, signal, protocol, bounds=bounds)


def mean_curve(signals: Sequence[Signal]) -> FloatArray:
    """Return the mean signal, (N,), of voxels that are finite throughout, of several arrays (v, N)."""
    whole = [signal[np.all(np.isfinite(signal), axis=1)] for signal in signals]
    count = sum(len(signal) for signal in whole)
    return np.asarray(
        np.sum([signal.sum(axis=0, dtype=np.float64) for signal in whole], axis=0) / max(count, 1)
    )
