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

from bids_qmri.estimators.asymptotic import checked_signal, require_measurements
from bids_qmri.estimators.box import box, boxed, quantities, to_box
from bids_qmri.estimators.coarse_grid import magnitude_posterior
from bids_qmri.estimators.condense import Series, condense
from bids_qmri.estimators.map import PRIOR_VARIANCE, Mode, maximise
from bids_qmri.models.base import Bounds, Model
from bids_qmri.units import FloatArray

Float32Array = npt.NDArray[np.float32]

MAX_WIDTH = 0.58
"""Largest width of an anchor in box units: twice the standard deviation of a uniform density."""

LEAST_WIDTH = 1e-6
"""Least width of an anchor; noise-free signals have no width of their own."""

LEAST_NOISE = 1e-4
"""Least noise relative to the root mean square signal that is told apart."""

LEAST_SNR = 0.1
"""Added to the amplitude in units of the noise before its logarithm is taken."""

SHARED = ("log_chi2", "log_snr", "log_noise", "log_count")


def _names(
    model_quantities: tuple[str, ...], fitted: tuple[str, ...], extra: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the names of a context in order."""
    pairs = [f"correlation_{a}_{b}" for i, a in enumerate(fitted) for b in fitted[:i]]
    per_quantity = ("map", "newton", "log_width", "box_lower", "box_upper", "grid_shift", "grid_log_sd")
    return (*(f"{kind}_{q}" for kind in per_quantity for q in model_quantities), *pairs, *SHARED, *extra)


CHANNELS: dict[str, tuple[str, ...]] = {
    "vfa": ("signal", "angle", "log_angle", "residual", "log_weight"),
    "ivim": ("signal", "b", "log_b", "residual", "log_weight"),
}
"""Names of the C channels of the path by model: the signal over its root mean square; the independent
variable and its logarithm; asinh of the residual of the anchor in units of the noise; half the log of the averages."""

CONTEXT: dict[str, tuple[str, ...]] = {
    "vfa": _names(("t1",), ("t1", "m0"), ("log_tr",)),
    "ivim": _names(("d", "dstar", "f"), ("d", "dstar", "f", "s0"), ()),
}
"""Names of the Q entries of the context by model."""

SCALE = {"t1": 1.0, "d": 1e-3, "dstar": 0.05, "f": 0.1}
"""Values of which limits are the multiples, before their logarithm is taken."""


@dataclass(frozen=True)
class Features:
    """Inputs of a network for V voxels.

    Parameters
    ----------
    path
        Measurements in increasing order of the independent variable, shape (V, N, C), float32.
    context
        Shape (V, Q), float32.
    center
        Anchor of the K quantities in box units, shape (K, V).
    width
        Its standard deviation in box units, shape (K, V), above 0.
    usable
        Voxels for which all of this is finite, shape (V,); in the others it is 0, and the width 1.
    """

    path: Float32Array
    context: Float32Array
    center: FloatArray
    width: FloatArray
    usable: npt.NDArray[np.bool_]


def make_features(
    model: Model,
    signal: npt.ArrayLike,
    protocol: Any,
    *,
    sigma: float | FloatArray,
    bounds: Bounds | None = None,
) -> Features:
    """Compute what a network sees of every voxel.

    Parameters
    ----------
    model
        One of those in `CHANNELS`.
    signal
        Measured signals, shape (V, N), in any order of the measurements. Voxels that are not finite, zero
        everywhere or, for a model with an amplitude, negative anywhere are not usable.
    protocol
        What was played out; repeats are averaged and long series binned (`condense`).
    sigma
        Noise standard deviation of a single image, one number or (V,).
    bounds
        Limits that replace the model's physical ones; equal limits fix a parameter.

    Raises
    ------
    InputError
        If the shape does not fit the protocol or there are fewer different measurements than free parameters.
    """
    data, usable = checked_signal(model, signal, protocol)
    noise = np.broadcast_to(np.asarray(sigma, dtype=np.float64), usable.shape)
    usable &= np.isfinite(noise) & (noise > 0)
    if model.amplitude is not None:
        usable &= ~np.any(data < 0, axis=1)
    series = condense(data[usable].T, protocol.take(usable))
    require_measurements(model, series.protocol, *model.limits(bounds))
    rms = np.sqrt(np.mean(series.signal**2, axis=0))
    # In units of the root mean square: nothing below knows the unit of the signal.
    series = Series(series.signal / rms, series.protocol, series.weights)
    noise = np.maximum(noise[usable] / rms, LEAST_NOISE)
    with np.errstate(all="ignore"):
        path, context, center, width = _describe(model, series, noise, bounds)
    return _spread(path, context, center, width, usable)


def _describe(
    model: Model, series: Series, sigma: FloatArray, bounds: Bounds | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return path (C, N, V), context (Q, V), center and width (K, V) of usable voxels, perhaps not finite."""
    lower, upper = model.limits(bounds)
    posterior = magnitude_posterior(
        model, series.signal, series.protocol, series.weights, sigma, lower, upper
    )
    mode = maximise(
        model, series.signal, series.protocol, series.weights, sigma, lower, upper, start=posterior.best
    )
    residual = (series.signal - model.signal(mode.theta, series.protocol)) * (
        np.sqrt(series.weights)[:, None] / sigma
    )
    limits = box(model, bounds)
    center, width, step = anchor(model, mode, lower, upper, *limits)
    context = [
        *center,
        *np.arcsinh(step / width),
        *np.log(width),
        *_box_context(model, limits, sigma.size),
        *np.arcsinh((posterior.mean - center) / width),
        *np.log(posterior.sd),
        *_correlations(mode, lower, upper),
        np.log(0.1 + np.mean(residual**2, axis=0)),
        np.log(LEAST_SNR + _amplitude(model, mode) / sigma),
        np.log(sigma),
        np.full(sigma.size, np.log(series.weights.size / 8.0)),
    ]
    path = [series.signal, *variables(series.protocol), np.arcsinh(residual)]
    path.append(np.broadcast_to(0.5 * np.log(series.weights)[:, None], residual.shape))
    if model.name == "vfa":
        context.append(np.full(sigma.size, np.log(series.protocol.repetition_time.mean() / 0.01)))
    path = [np.broadcast_to(channel, residual.shape) for channel in path]
    return np.stack(path), np.stack(context), center, width


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
    center = to_box(np.concatenate([mode.theta[inside], derived]), low, high)
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
    return center, np.where(fixed, np.sqrt(PRIOR_VARIANCE), width), step


def variables(protocol: Any) -> tuple[FloatArray, FloatArray]:
    """Return the independent variable, scaled, and its logarithm, each broadcasting to (N, V)."""
    if hasattr(protocol, "flip_angle"):
        flip = protocol.flip_angle if protocol.flip_angle.ndim == 2 else protocol.flip_angle[:, None]
        return flip / 0.25, np.log(flip / 0.1)
    b = protocol.bvals[:, None]
    return b / 300.0, np.log1p(b / 20.0)


def _box_context(model: Model, limits: tuple[FloatArray, FloatArray], count: int) -> list[FloatArray]:
    """Return the limits of the quantities on a scale that is linear near 0 and logarithmic above."""
    scale = np.array([SCALE[name] for name in quantities(model)])
    return [np.full(count, value) for value in np.concatenate([np.log(0.03 + x / scale) for x in limits])]


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


def _amplitude(model: Model, mode: Mode) -> FloatArray:
    """Return the amplitude, (V,)."""
    amplitude: FloatArray = mode.theta[[p.name for p in model.parameters].index(str(model.amplitude))]
    return amplitude


def _spread(
    path: FloatArray,
    context: FloatArray,
    center: FloatArray,
    width: FloatArray,
    usable: npt.NDArray[np.bool_],
) -> Features:
    """Return the features of all voxels from those of the usable ones."""
    finite = np.ones(path.shape[2], dtype=np.bool_)
    for array in (path, context, center, width):
        finite &= np.all(np.isfinite(array.reshape(-1, finite.size)), axis=0)
    kept = usable.copy()
    kept[usable] = finite
    wide_path = np.zeros((kept.size, path.shape[1], path.shape[0]), dtype=np.float32)
    wide_path[kept] = path[:, :, finite].T.astype(np.float32)
    wide_context = np.zeros((kept.size, len(context)), dtype=np.float32)
    wide_context[kept] = context[:, finite].T
    wide_center, wide_width = np.zeros((len(center), kept.size)), np.ones((len(center), kept.size))
    wide_center[:, kept], wide_width[:, kept] = center[:, finite], width[:, finite]
    return Features(wide_path, wide_context, wide_center, wide_width, kept)
