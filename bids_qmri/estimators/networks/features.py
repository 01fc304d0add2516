"""What the networks see of a voxel: an anchor, the measurements in order, and a context.

The anchor is the maximum of the posterior (`map`); networks answer in units of its standard deviation. All
inputs are free of the unit of the signal, and those of a voxel do not depend on the voxels it is computed
with. Called by `training` and by the estimator alike, so that a network is given what it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.estimators.classical.asymptotic import checked_signal, require_measurements
from bids_qmri.estimators.networks.condense import Series, condense
from bids_qmri.estimators.posterior.box import box, boxed, quantities, to_box
from bids_qmri.estimators.posterior.map import PRIOR_VARIANCE, Mode, grid_posterior, maximise
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise, VoxelNoise
from bids_qmri.physics.prior import EVEN, Prior, moments
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

Float32Array = npt.NDArray[np.float32]

MAX_WIDTH = 0.58
"""Largest width of an anchor in box units: twice the standard deviation of a uniform density."""

LEAST_WIDTH = 1e-4
"""Least width of an anchor; noise-free signals have no width of their own."""

LEAST_NOISE = 1e-4
"""Least noise relative to the root mean square signal that is told apart."""

LEAST_GRID_SD = 1e-3
"""Least standard deviation on the coarse grid, below what it resolves."""

LEAST_SNR = 0.1
"""Added to the amplitude in units of the noise before its logarithm is taken."""


def _names(
    model_quantities: tuple[str, ...], fitted: tuple[str, ...], extra: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the names of a context in order."""
    per_quantity = (
        *("map", "newton", "log_width", "box_lower", "box_upper", "prior_mean", "prior_log_sd"),
        *("grid_shift", "grid_log_sd"),
    )
    pairs = (f"correlation_{a}_{b}" for i, a in enumerate(fitted) for b in fitted[:i])
    shared = ("log_chi2", "log_noise", "log_floor", "log_count")
    return (*(f"{kind}_{q}" for kind in per_quantity for q in model_quantities), *pairs, *shared, *extra)


Names = tuple[str, ...]


def channels_of(model: Model) -> Names:
    """Return the names of the C channels of the path of a model.

    The signal over its root mean square; asinh of the residual of the anchor in units of the noise; half the
    logarithm of the images averaged; what the protocol says of each measurement.
    """
    own = _own(model, "CHANNELS")
    return ("signal", "residual", "log_weight", *(model.protocol.channels if own is None else own))


def context_of(model: Model) -> Names:
    """Return the names of the Q entries of the context of a model."""
    own = _own(model, "CONTEXT")
    extra = ("log_snr", *model.protocol.context) if own is None else own
    return _names(quantities(model), tuple(p.name for p in model.parameters), extra)


def interface(model: Model) -> tuple[Names, Names, Names]:
    """Return what the networks of a model estimate, and the channels and context entries that they read."""
    own: tuple[Names, Names, Names] | None = _own(model, "INTERFACE")
    return own or (quantities(model), channels_of(model), context_of(model))


def _own(model: Model, name: str) -> Any:
    """Return what the technique of a model says of its features where they are not those of other models."""
    return catalogue.part(model.name, "features", name)


@dataclass(frozen=True)
class Features:
    """Inputs of a network for V voxels.

    Parameters
    ----------
    path
        Measurements in increasing order of the independent variable, shape (V, N, C), float32.
    context
        Shape (V, Q), float32.
    centre
        Anchor of the K quantities in box units, shape (K, V).
    width
        Its standard deviation in box units, shape (K, V), above 0.
    usable
        Voxels for which all of this is finite, shape (V,); in the others it is 0, and the width 1.
    """

    path: Float32Array
    context: Float32Array
    centre: FloatArray
    width: FloatArray
    usable: npt.NDArray[np.bool_]


def make_features(
    model: Model,
    signal: npt.ArrayLike,
    protocol: Protocol,
    *,
    sigma: float | FloatArray | Noise,
    bounds: Bounds | None = None,
    prior: Prior = EVEN,
) -> Features:
    """Compute what a network sees of every voxel.

    Parameters
    ----------
    model
        Forward model.
    signal
        Measured signals, shape (V, N), in any order of the measurements. Voxels that are not finite, zero
        everywhere or, for a model with an amplitude, negative anywhere are not usable.
    protocol
        What was played out; repeats are averaged and long series binned (`condense`).
    sigma
        Noise standard deviation of a single image, one number or (V,), or floor and scatter.
    bounds
        Limits that replace the model's physical ones; equal limits fix a parameter.
    prior
        Where the parameters are expected within these.

    Raises
    ------
    InputError
        If the shape does not fit the protocol or there are fewer different measurements than free parameters.
    """
    data, usable = checked_signal(model, signal, protocol)
    told = (sigma if isinstance(sigma, Noise) else Noise(sigma, sigma)).spread(usable.size)
    for level in (told.floor, told.scatter):
        usable &= np.isfinite(level) & (level > 0)
    if model.amplitude is not None:
        usable &= ~np.any(data < 0, axis=1)
    series = condense(data[usable].T, protocol.take(usable))
    require_measurements(model, series.protocol, *model.limits(bounds))
    noise = told.take(usable)
    rms = np.sqrt(np.mean(series.signal**2, axis=0))
    if model.amplitude is not None:
        # In units of the root mean square: nothing below knows the unit of the signal.
        series = Series(series.signal / rms, series.protocol, series.weights)
        noise, rms = noise.over(rms), np.ones_like(rms)
    least = LEAST_NOISE * rms
    noise = VoxelNoise(np.maximum(noise.floor, least), np.maximum(noise.scatter, least))
    with np.errstate(all="ignore"):
        path, context, centre, width = _describe(model, series, noise, rms, bounds, prior)
    return _spread(path, context, centre, width, usable)


def _describe(
    model: Model, series: Series, noise: VoxelNoise, rms: FloatArray, bounds: Bounds | None, prior: Prior
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return path (C, N, V), context (Q, V), centre and width (K, V) of usable voxels, perhaps not finite."""
    lower, upper = model.limits(bounds)
    data = (series.signal, series.protocol, series.weights, noise, lower, upper, prior)
    posterior = grid_posterior(model, *data)
    mode = maximise(model, *data, start=posterior.best)
    limits = box(model, bounds)
    centre, width, step = anchor(model, mode, lower, upper, *limits)
    root = np.sqrt(series.weights)[:, None]
    residual = (series.signal - model.signal(mode.theta, series.protocol)) * (root / noise.scatter)
    of_technique = _own(model, "describe")
    if of_technique is None:
        channels, extra = _of_protocol(model, series, mode, noise.scatter)
    else:
        channels, extra = of_technique(model, series, rms, data, posterior, mode, (centre, width))
    path = [series.signal / rms, np.arcsinh(residual), np.log(root), *channels]
    context = [
        *centre,
        *np.arcsinh(step / width),
        *np.log(width),
        *_box_context(model, limits),
        *_prior_context(model, prior, (lower, upper), limits),
        *np.arcsinh((posterior.mean - centre) / width),
        *np.log(np.maximum(posterior.sd, LEAST_GRID_SD)),
        *_correlations(mode, lower, upper),
        np.log(0.1 + np.mean(residual**2, axis=0)),
        np.log(noise.scatter / rms),
        np.log(noise.floor / noise.scatter),
        np.log(series.weights.size / 8.0),
        *extra,
    ]
    stacked = [np.broadcast_to(channel, residual.shape) for channel in path]
    return np.stack(stacked), np.stack([np.broadcast_to(x, rms.shape) for x in context]), centre, width


Entry = float | FloatArray


def _of_protocol(
    model: Model, series: Series, mode: Mode, sigma: FloatArray
) -> tuple[list[FloatArray], list[Entry]]:
    """Return the channels and the entries of the context that only models of this protocol have."""
    amplitude = mode.theta[[p.name for p in model.parameters].index(str(model.amplitude))]
    log_snr = np.log(LEAST_SNR + amplitude / sigma)
    channels, entries = series.protocol.network_inputs()
    return channels, [log_snr, *entries]


def anchor(
    model: Model, mode: Mode, lower: FloatArray, upper: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return position, standard deviation and free Newton step of the maximum in box units, each (K, V).

    Parameters
    ----------
    lower, upper
        Limits of the parameters, (P,).
    low, high
        Limits of the quantities, (K,).
    """
    inside = boxed(model)
    derived, slope = model.derive(mode.theta)
    centre = to_box(np.concatenate([mode.theta[inside], derived]), low, high)
    variance = np.einsum("iiv->iv", mode.covariance)[inside]
    step = mode.step[inside]
    if len(derived):
        # From the units of the box of the parameters to those of the derived quantities.
        span = (upper - lower)[inside, None]
        gain = slope[:, inside] * span[None] / np.maximum(high - low, 1e-300)[len(inside) :, None, None]
        inner = mode.covariance[np.ix_(inside, inside)]
        variance = np.concatenate([variance, np.einsum("qiv,ijv,qjv->qv", gain, inner, gain)])
        step = np.concatenate([step, np.einsum("qiv,iv->qv", gain, step)])
    width = np.clip(np.sqrt(np.maximum(variance, 0.0)), LEAST_WIDTH, MAX_WIDTH)
    fixed = (low == high)[:, None]
    return centre, np.where(fixed, np.sqrt(PRIOR_VARIANCE), width), step


def _box_context(model: Model, limits: tuple[FloatArray, FloatArray]) -> list[Entry]:
    """Return the limits of the quantities on a scale that is linear near 0 and logarithmic above."""
    known = {p.name: p.typical for p in (*model.parameters, *model.derived)}
    scale = np.array([known[name] for name in quantities(model)])
    return list(np.concatenate([np.log(0.03 + x / scale) for x in limits]))


def _prior_context(
    model: Model, prior: Prior, bounds: tuple[FloatArray, FloatArray], limits: tuple[FloatArray, FloatArray]
) -> list[Entry]:
    """Return mean and logarithm of the standard deviation of the prior of the quantities in box units."""
    mean, sd = moments(prior, model, tuple(bounds[0]), tuple(bounds[1]))
    chosen = [*boxed(model), *range(len(model.parameters), len(mean))]
    span = np.where(limits[1] > limits[0], limits[1] - limits[0], np.inf)
    centred = np.where(np.isfinite(span), (mean[chosen] - limits[0]) / span, 0.5)
    relative = np.where(np.isfinite(span), sd[chosen] / span, np.sqrt(PRIOR_VARIANCE))
    return [*centred, *np.log(np.maximum(relative, LEAST_WIDTH))]


def _correlations(mode: Mode, lower: FloatArray, upper: FloatArray) -> list[FloatArray]:
    """Return the correlations of all pairs of parameters; those of a fixed one are 0."""
    variance = np.einsum("iiv->iv", mode.covariance)
    return [
        mode.covariance[i, j] / np.sqrt(variance[i] * variance[j])
        if lower[i] < upper[i] and lower[j] < upper[j]
        else np.zeros(variance.shape[1])
        for i in range(lower.size)
        for j in range(i)
    ]


def _spread(
    path: FloatArray,
    context: FloatArray,
    centre: FloatArray,
    width: FloatArray,
    usable: npt.NDArray[np.bool_],
) -> Features:
    """Return the features of all voxels from those of the usable ones."""
    finite = np.ones(path.shape[2], dtype=np.bool_)
    for array in (path, context, centre, width):
        finite &= np.all(np.isfinite(array), axis=tuple(range(array.ndim - 1)))
    kept = usable.copy()
    kept[usable] = finite
    wide_path = np.zeros((kept.size, path.shape[1], path.shape[0]), dtype=np.float32)
    wide_path[kept] = path[:, :, finite].T.astype(np.float32)
    wide_context = np.zeros((kept.size, len(context)), dtype=np.float32)
    wide_context[kept] = context[:, finite].T
    wide_centre, wide_width = np.zeros((len(centre), kept.size)), np.ones((len(centre), kept.size))
    wide_centre[:, kept], wide_width[:, kept] = centre[:, finite], width[:, finite]
    return Features(wide_path, wide_context, wide_centre, wide_width, kept)
