"""Maximum of the posterior under a Gaussian prior: the anchor that the networks correct.

The Gaussian has mean and variance of the prior that is told within the limits, so that a voxel the data say
nothing about gets the mean: of a uniform prior, the middle of the box. Much faster than the posterior mean
(`bayes`), nearly as accurate for IVIM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.estimators.base import Estimator, FitResult, Status
from bids_qmri.estimators.classical.asymptotic import checked_signal, require_measurements
from bids_qmri.estimators.classical.invert import invert
from bids_qmri.estimators.classical.lm import SINGULAR, box_scale, minimise
from bids_qmri.estimators.classical.minimum import Minimum, Penalty
from bids_qmri.estimators.classical.noise import voxel_noise
from bids_qmri.estimators.classical.objective import LeastSquares, Objective, QuickRicianLikelihood
from bids_qmri.estimators.posterior.box import boxed
from bids_qmri.estimators.posterior.coarse_grid import GridPosterior, magnitude_posterior
from bids_qmri.physics.limits import at_bound
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise, VoxelNoise
from bids_qmri.physics.prior import EVEN, Prior, moments
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

PRIOR_VARIANCE = 1.0 / 12.0
"""Variance of the prior in squared box widths: that of a uniform density."""


LEAST_WIDTH = 1e-3
"""Least standard deviation of a prior in box widths."""

TINY = float(np.finfo(np.float64).tiny)

TAIL_ROUNDS = 3
"""Times that the Gaussian is adapted to the tails of a bell."""


@dataclass(frozen=True)
class Mode:
    """The posterior of V voxels at its maximum, in units of the box; the amplitude in units of its value.

    Parameters
    ----------
    theta
        Parameters, shape (P, V).
    converged
        Shape (V,).
    step
        Newton step from there were there no limits, shape (P, V): zero where no limit is active.
    covariance
        Inverse curvature of the likelihood times the prior, shape (P, P, V).
    """

    theta: FloatArray
    converged: npt.NDArray[np.bool_]
    step: FloatArray
    covariance: FloatArray


@dataclass(frozen=True)
class Map(Estimator):
    """Maximum of the posterior, and standard deviations from its curvature.

    Every parameter but the amplitude has a Gaussian prior with the mean and the variance that its prior has
    within its limits, and the slope of its tails where the data put it there; the posterior is cut off at the
    limits. Magnitudes get the Rician likelihood,
    concentrations the Gaussian one.
    """

    label = "map"
    description = (
        "Maximum of the posterior under a Gaussian approximation of the prior within bounds, noise given or "
        "estimated from the scan."
    )
    reference = "Gelman et al., Bayesian Data Analysis, 3rd edition 2013, chapter 4, doi:10.1201/b16018"
    needs_noise = True
    has_prior = True

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        data, usable = checked_signal(model, signal, protocol)
        if model.amplitude is not None:
            usable &= ~np.any(data < 0, axis=1)
        limits = model.limits(bounds)
        require_measurements(model, protocol, *limits)
        told = voxel_noise(model, data, protocol, usable, noise, bounds)
        part = protocol.take(usable)
        signals = (data[usable].T, part, protocol.weights, told.take(usable), *limits)
        start = grid_posterior(model, *signals, prior=prior).best
        mode = maximise(model, *signals, prior=prior, start=start)
        for _ in range(TAIL_ROUNDS if prior.bells else 0):
            # A bell has tails: what the data put there is held less.
            penalty = _reweighted(model, told.take(usable), *limits, prior, mode.theta)
            mode = maximise(model, *signals, penalty=penalty, start=mode.theta)
        return _result(model, mode, data, part, usable, limits)


def grid_posterior(
    model: Model,
    signal: FloatArray,
    protocol: Protocol,
    weights: FloatArray,
    noise: VoxelNoise,
    lower: FloatArray,
    upper: FloatArray,
    prior: Prior = EVEN,
) -> GridPosterior:
    """Return the coarse grid posterior, where the search starts; see `maximise`."""
    own = catalogue.part(model.name, "posterior", "grid_posterior")
    posterior: Callable[..., GridPosterior] = own or magnitude_posterior
    return posterior(model, signal, protocol, weights, noise, lower, upper, prior)


def maximise(
    model: Model,
    signal: FloatArray,
    protocol: Protocol,
    weights: FloatArray,
    noise: VoxelNoise,
    lower: FloatArray,
    upper: FloatArray,
    prior: Prior = EVEN,
    start: FloatArray | None = None,
    penalty: Penalty | None = None,
) -> Mode:
    """Find the maximum of the posterior of every voxel.

    Parameters
    ----------
    model
        Forward model.
    signal
        Measured signals, shape (N, V), all usable.
    protocol
        What was played out.
    weights
        Images averaged into each measurement, shape (N,).
    noise
        Noise of a single image, V voxels.
    lower, upper
        Limits, shape (P,).
    prior
        Where the parameters are expected within these.
    start
        First estimate, shape (P, V); None takes the model's.
    penalty
        Taken instead of the Gaussian that stands for the prior.
    """
    column = None if np.all(weights == 1.0) else weights[:, None]
    objective: Objective
    if model.amplitude is None:
        objective = LeastSquares(signal, column)
    else:
        objective = QuickRicianLikelihood(signal, noise.floor, column)
    if penalty is None:
        penalty = _penalty(model, noise, lower, upper, prior)
    minimum = minimise(model, objective, protocol, lower, upper, prior=penalty, start=start)
    step, covariance = _curvature(model, minimum, lower, upper)
    return Mode(minimum.theta, minimum.converged, step, covariance * noise.scatter**2)


def _penalty(model: Model, noise: VoxelNoise, lower: FloatArray, upper: FloatArray, prior: Prior) -> Penalty:
    """Return the Gaussian of mean and variance of a prior; costs are in units of the scatter squared."""
    if not prior.bells:
        even = np.full(len(lower), 1.0 / PRIOR_VARIANCE)
        return Penalty(noise.scatter**2, 0.5 * (lower + upper)[:, None], even[:, None])
    mean, sd = (x[: len(lower)] for x in moments(prior, model, tuple(lower), tuple(upper)))
    width = np.where((lower < upper) & np.isfinite(upper), upper - lower, 1.0)
    precision = (width / np.maximum(sd, LEAST_WIDTH * width)) ** 2
    return Penalty(noise.scatter**2, mean[:, None], precision[:, None])


def _reweighted(
    model: Model, noise: VoxelNoise, lower: FloatArray, upper: FloatArray, prior: Prior, theta: FloatArray
) -> Penalty:
    """Return the Gaussian whose slope at parameters (P, V) is that of the prior."""
    centre = np.repeat(0.5 * (lower + upper)[:, None], theta.shape[1], axis=1)
    precision = np.full(theta.shape, 1.0 / PRIOR_VARIANCE)
    for i, parameter in enumerate(model.parameters):
        bell = prior.of(parameter.name)
        if bell is not None and lower[i] < upper[i]:
            width = upper[i] - lower[i]
            centre[i], sharp = bell.pull(parameter, np.maximum(theta[i], LEAST_WIDTH * width))
            precision[i] = sharp * width**2
    return Penalty(noise.scatter**2, centre, precision)


def _curvature(
    model: Model, minimum: Minimum, lower: FloatArray, upper: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the free Newton step and the inverse curvature of the cost; fixed parameters have neither."""
    scale = box_scale(model, minimum.theta, lower[:, None], upper[:, None])
    free = np.flatnonzero(lower < upper)
    inverse = np.zeros((lower.size, *scale.shape))
    with np.errstate(all="ignore"):
        unit = scale[free]
        curvature = minimum.curvature[np.ix_(free, free)] * unit[:, None] * unit
        level = SINGULAR * (np.einsum("iiv->v", minimum.curvature * scale[:, None] * scale) + TINY)
        for i in range(free.size):
            curvature[i, i] += level
        inverse[np.ix_(free, free)] = invert(curvature)[0]
        step = np.einsum("ijv,jv->iv", inverse, minimum.gradient * scale)
    return step, inverse


def _result(
    model: Model,
    mode: Mode,
    data: FloatArray,
    protocol: Protocol,
    usable: npt.NDArray[np.bool_],
    limits: tuple[FloatArray, FloatArray],
) -> FitResult:
    """Build the maps of all voxels from the maxima of the usable ones."""
    lower, upper = limits
    names = [p.name for p in (*model.parameters, *model.derived)]
    values, spread = np.full((2, len(names), usable.size), np.nan)
    residual = np.full(usable.size, np.nan)
    status = np.full(usable.size, Status.UNUSABLE, dtype=np.uint8)
    derived, slope = model.derive(mode.theta)
    scale = box_scale(model, mode.theta, lower[:, None], upper[:, None])
    covariance = mode.covariance * scale[:, None] * scale[None]
    variance = np.concatenate(
        [np.einsum("iiv->iv", covariance), np.einsum("qiv,ijv,qjv->qv", slope, covariance, slope)]
    )
    valid = np.all(np.isfinite(variance), axis=0)
    voxels = np.flatnonzero(usable)[valid]
    values[:, voxels] = np.concatenate([mode.theta, derived])[:, valid]
    with np.errstate(invalid="ignore"):
        spread[:, voxels] = np.sqrt(np.where(variance > 0, variance, np.nan))[:, valid]
    prediction = model.signal(mode.theta[:, valid], protocol.take(valid))
    residual[voxels] = np.sqrt(np.mean((data[voxels].T - prediction) ** 2, axis=0))
    touched = np.any(
        at_bound(mode.theta, lower, upper)[boxed(model)] & (lower < upper)[boxed(model), None], axis=0
    )
    status[voxels] = np.where(touched, Status.AT_BOUND, Status.OK)[valid]
    status[voxels[~mode.converged[valid]]] = Status.NOT_CONVERGED
    maps, sd = (dict(zip(names, array, strict=True)) for array in (values, spread))
    return FitResult(maps, sd, residual, status)
