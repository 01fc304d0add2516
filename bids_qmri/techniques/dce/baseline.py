"""What the noise of signals adds to the standard deviations of tracer kinetics beside that of residuals.

Signals become concentrations by the mean of the frames before the bolus. Its noise is an error that all
frames share: it shifts and stretches the curve instead of scattering it, so that residuals do not show it.
By linear propagation through the fit it joins the variances. Frames of high concentration are noisier than
those before the bolus, which the same propagation tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.preparation import Preparation
from bids_qmri.estimators.base import Estimator, FitResult
from bids_qmri.physics.limits import at_bound
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import Prior, moments
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

STEP = 1e-4
"""Relative change of the baseline by which concentrations are differentiated."""

LEAST_SPREAD = 1e-12
"""Least standard deviation of a prior."""

WEAK = 1e-10
"""Share of the information that keeps undetermined parameters solvable."""

Convert = Callable[[FloatArray, npt.NDArray[np.intp], FloatArray], FloatArray]
"""Concentrations of signals (v, N) of voxels (v,), given their baselines (v,)."""


def with_baseline_noise(
    model: Model,
    estimator: Estimator,
    convert: Convert,
    baseline: slice,
    how: Preparation,
    measured: tuple[FloatArray, npt.NDArray[np.intp]],
    protocol: Protocol,
    noise: Noise | None,
    fit: FitResult,
) -> FitResult:
    """Return a result whose standard deviations know the noise of the baseline.

    Parameters
    ----------
    model, estimator, protocol
        What was fitted, and by what.
    convert, baseline
        How signals became concentrations, and the frames before the bolus.
    how
        Limits, and where the truth was expected within them.
    measured
        Signals as measured, (v, N), and their voxels.
    noise
        Of the concentrations; None takes it from the residuals.
    fit
        What was found.
    """
    signal, voxels = measured
    level = signal[:, baseline].mean(axis=1)
    free = signal.shape[1] - sum(low < high for low, high in zip(*model.limits(how.bounds), strict=True))
    sigma = fit.residual * np.sqrt(signal.shape[1] / max(free, 1))
    if noise is not None:
        sigma = noise.spread(voxels.size).scatter
    with np.errstate(all="ignore"):
        slope = (convert(signal, voxels, level * (1.0 + STEP)) - convert(signal, voxels, level)) / STEP
        # An error of a frame moves its own concentration as one of the baseline does, the other way.
        by_frame = (slope / signal) ** 2
        typical = by_frame.mean(axis=1)
        frames = len(range(*baseline.indices(signal.shape[1])))
        shared = slope * (sigma / np.sqrt(typical * frames) / level)[:, None]
        uneven = by_frame / typical[:, None]
    theta = np.stack([np.asarray(fit.maps[p.name], dtype=np.float64) for p in model.parameters])
    known = np.all(np.isfinite(theta), axis=0) & np.all(np.isfinite(shared), axis=1) & (sigma > 0)
    index = np.flatnonzero(known)
    if not index.size:
        return fit
    prior = how.prior if estimator.has_prior else None
    parts = protocol.take(index), shared[index], uneven[index], sigma[index]
    shift, factor = _propagated(model, theta[:, index], parts, how.bounds, prior)
    sd = dict(fit.sd)
    for row, name in enumerate(p.name for p in (*model.parameters, *model.derived)):
        if name in sd:
            values = sd[name].copy()
            values[index] = np.hypot(factor[row] * values[index], shift[row])
            sd[name] = values
    return replace(fit, sd=sd)


def _propagated(
    model: Model,
    theta: FloatArray,
    parts: tuple[Protocol, FloatArray, FloatArray, FloatArray],
    bounds: Bounds | None,
    prior: Prior | None,
) -> tuple[FloatArray, FloatArray]:
    """Return by how much the baseline moves the estimates, and factors of their sd, each (P + Q, v).

    `parts` are protocol, error of all frames by one standard deviation of the baseline, (v, N), variances of
    the frames over their mean, (v, N), and noise, (v,).
    """
    protocol, shared, uneven, sigma = parts
    lower, upper = model.limits(bounds)
    _, jacobian = model.signal_and_jacobian(theta, protocol)
    fixed = np.broadcast_to((lower == upper)[:, None], theta.shape)
    held = at_bound(theta, lower, upper) if prior is None else fixed
    jacobian = np.where(held[:, None], 0.0, jacobian) / sigma
    information = _products(jacobian, jacobian)
    diagonal = np.einsum("vii->vi", information)
    added = WEAK * diagonal + np.finfo(np.float64).tiny
    if prior is not None:
        spread = moments(prior, model, tuple(lower), tuple(upper))[1][: len(lower)]
        added = added + 1.0 / np.maximum(spread, LEAST_SPREAD) ** 2
    added = np.where(held.T, 1.0, added)
    inverse = np.linalg.inv(information + added[:, :, None] * np.eye(len(lower)))
    force = np.stack([np.einsum("nv,nv->v", row, shared.T / sigma) for row in jacobian], axis=1)
    noisy = _products(jacobian * uneven.T, jacobian)
    _, slope = model.derive(theta)
    rows = np.concatenate(
        [np.broadcast_to(np.eye(len(lower)), (len(sigma), *inverse.shape[1:])), np.moveaxis(slope, 2, 0)],
        axis=1,
    )
    rows = np.where(held.T[:, None], 0.0, rows) @ inverse
    shift = np.einsum("vqp,vp->qv", rows, force)
    variances = [np.einsum("vqi,vij,vqj->qv", rows, part, rows) for part in (noisy, information)]
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.sqrt(variances[0] / variances[1])
    return shift, np.where(np.isfinite(factor), factor, 1.0)


def _products(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return sums over frames of products of all pairs of rows, (v, P, P), of (P, N, v) each; symmetric."""
    found = np.empty((one.shape[2], len(one), len(one)))
    for i in range(len(one)):
        for j in range(i + 1):
            found[:, i, j] = found[:, j, i] = np.einsum("nv,nv->v", one[i], other[j])
    return found
