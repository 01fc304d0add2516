"""What networks of dynamic series see beside the anchor: time after arrival, input and uptake.

Called by `estimators.networks.features` through the catalogue. Concentrations are relative to the mean input
of the time after arrival.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_qmri.estimators.networks.condense import Series
from bids_qmri.estimators.posterior.coarse_grid import TINY, GridPosterior
from bids_qmri.estimators.posterior.map import Mode
from bids_qmri.physics.model import Model
from bids_qmri.techniques.dce.lattice import local_posterior
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.units import SECONDS_PER_MINUTE, FloatArray

KINETICS = ("kep", "ve", "vp", "t0", "ktrans")

CHANNELS = ("time", "integral", "input", "input_integral")

CONTEXT = (
    "log_uptake",
    "log_input",
    "log_peak",
    "log_duration",
    *(f"{kind}_{q}" for kind in ("local_shift", "local_log_sd") for q in KINETICS),
)

LEAST_SD = 1e-3
"""Least standard deviation on a lattice over that of the anchor, which a fixed quantity has."""

Entry = float | FloatArray


def describe(
    model: Model,
    series: Series,
    rms: FloatArray,
    data: tuple[Any, ...],
    posterior: GridPosterior,
    mode: Mode,
    anchor: tuple[FloatArray, FloatArray],
) -> tuple[list[FloatArray], list[Entry]]:
    """Return the channels, (N, V), and the entries of the context, (V,), that only dynamic series have.

    Parameters
    ----------
    model
        One of the Tofts models.
    series
        Concentrations, condensed.
    rms
        Their root mean square, (V,).
    data
        Signal, protocol, weights, noise, limits and prior, as `grid_posterior` takes them.
    posterior, mode
        On the coarse grid, and at its maximum.
    anchor
        Position and standard deviation of the maximum in box units, each (K, V).
    """
    centre, width = anchor
    channels, entries = _dynamic(model, series, rms)
    signal, protocol, weights, noise, lower, upper, prior = data
    local = local_posterior(
        model, signal, protocol, weights, noise, lower, upper, prior, coarse=posterior, mode=mode
    )
    entries += [*np.arcsinh((local.mean - centre) / width), *np.log(np.maximum(local.sd / width, LEAST_SD))]
    return channels, entries


def _dynamic(model: Model, series: Series, rms: FloatArray) -> tuple[list[FloatArray], list[Entry]]:
    protocol = series.protocol
    assert isinstance(protocol, DceProtocol)
    minutes = (protocol.time - protocol.arrival) / SECONDS_PER_MINUTE
    # The responses to no tissue and to tissue that holds what it takes up.
    still = 1e-6
    plasma, taken = model.signal(np.array([[still, still], [0, 1 / still], [1, 0], [0, 0]]), protocol).T
    duration = minutes[-1]
    level = max(taken[-1], TINY) / max(duration, TINY)
    steps = np.diff(minutes, prepend=minutes[0])[:, None]
    relative = series.signal / rms
    integral = np.zeros_like(relative)
    for i in range(1, len(relative)):
        integral[i] = integral[i - 1] + 0.5 * steps[i] * (relative[i] + relative[i - 1])
    channels = [minutes[:, None], integral, (plasma / level)[:, None], (taken / level)[:, None]]
    peak = np.log(max(plasma.max() / level, TINY))
    return channels, [np.log(rms / level), np.log(level), peak, np.log(max(duration, TINY))]
