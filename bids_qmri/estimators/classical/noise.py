"""Noise standard deviation of a scan, from what its bounded least-squares fits leave unexplained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.classical.asymptotic import checked_signal, require_measurements
from bids_qmri.estimators.classical.lm import minimise
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.classical.objective import LeastSquares
from bids_qmri.physics.limits import at_bound
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise, VoxelNoise, rician_moments
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

MAX_VOXELS = 20_000
"""Voxels that are fitted, evenly spread over those given: 1 % precision needs far fewer."""

OUTLIER = 3.0
"""Voxels whose own variance exceeds the typical one by this many of its standard deviations are left out."""

CORRECTIONS = 6
"""Rounds of correction for magnitude noise; the last changes less than 0.2 %."""


@dataclass(frozen=True, eq=False)
class Residuals:
    """What fits of V voxels leave unexplained.

    Parameters
    ----------
    cost
        Sum of squared residuals, (V,).
    freedom
        Degrees of freedom of it, (V,), above 0.
    shrink
        Returns by how much less magnitudes vary than their noise, (V,), given the noise; None: not at all.
    voxels
        Which of the voxels that were given these are, (V,).
    """

    cost: FloatArray
    freedom: FloatArray
    shrink: Callable[[float], FloatArray] | None
    voxels: npt.NDArray[np.intp]

    def sigma(self) -> float:
        """Return the noise of a single image that voxels share, but those that the model does not explain."""
        sigma = np.sqrt(pooled_variance(self.cost, self.freedom))
        if self.shrink is not None:
            for _ in range(CORRECTIONS if sigma > 0 else 0):
                sigma = np.sqrt(pooled_variance(self.cost / self.shrink(float(sigma)), self.freedom))
        return float(sigma)

    def variances(self, floor: float | None = None) -> FloatArray:
        """Return the variance of each voxel, (V,), of which medians are right.

        `floor` is the noise that magnitudes shrink by; None takes `sigma`.
        """
        cost = self.cost
        if self.shrink is not None:
            known = self.sigma() if floor is None else floor
            cost = cost / self.shrink(known) if known > 0 else cost
        return np.asarray(cost / self.freedom / median_share(self.freedom))


def median_share(freedom: FloatArray) -> FloatArray:
    """Return the median of chi-squared over its mean, by Wilson and Hilferty."""
    return np.asarray((1.0 - 2.0 / (9.0 * freedom)) ** 3)


def fit_residuals(
    model: Model, signal: npt.ArrayLike, protocol: Protocol, *, bounds: Bounds | None = None
) -> Residuals:
    """Return what bounded least-squares fits leave unexplained.

    Every voxel has as many degrees of freedom as measurements beyond its free parameters that do not lie at
    a limit. Magnitudes vary less than the noise of either channel where there is little signal; that is told
    for models with an amplitude, the others describe concentrations.

    Parameters
    ----------
    model
        Forward model.
    signal
        Measured signals, shape (V, N); unusable voxels are skipped.
    protocol
        What was played out.
    bounds
        Limits that replace the model's physical ones.

    Raises
    ------
    InputError
        If no voxel is usable or none has more measurements than free parameters.
    """
    data, usable = checked_signal(model, signal, protocol)
    lower, upper = model.limits(bounds)
    require_measurements(model, protocol, lower, upper)
    voxels = np.flatnonzero(usable)
    voxels = voxels[:: max(voxels.size // MAX_VOXELS, 1)]
    objective = LeastSquares(data[voxels].T, protocol.weights[:, None])
    part = protocol.take(voxels)
    theta = minimise(model, objective, part, lower, upper).theta
    freedom = protocol.n_measurements - np.count_nonzero(~at_bound(theta, lower, upper), axis=0)
    prediction = model.signal(theta, part)
    cost = objective.misfit(prediction)[0]
    known = freedom > 0
    if not np.any(known):
        raise InputError(
            f"{voxels.size} usable voxels of {protocol.n_measurements} measurements leave no residuals",
            needed="more measurements than free parameters",
            fix="give the noise standard deviation",
        )
    explained = prediction[:, known]

    def shrink(sigma: float) -> FloatArray:
        return np.asarray(magnitude_variance(explained / sigma).mean(axis=0))

    return Residuals(
        cost[known], freedom[known], shrink if model.amplitude is not None else None, voxels[known]
    )


def pooled_sigma(
    model: Model, signal: npt.ArrayLike, protocol: Protocol, *, bounds: Bounds | None = None
) -> float:
    """Estimate the noise of a single image from least-squares residuals pooled over voxels.

    Arguments and errors as of `fit_residuals`. Voxels that the model does not explain (motion, flow, vessels)
    are left out.
    """
    return fit_residuals(model, signal, protocol, bounds=bounds).sigma()


def voxel_noise(
    model: Model,
    signal: FloatArray,
    protocol: Protocol,
    usable: npt.NDArray[np.bool_],
    noise: Noise | None,
    bounds: Bounds | None = None,
) -> VoxelNoise:
    """Return the noise of a single image in every voxel.

    Parameters
    ----------
    model
        Forward model.
    signal
        Measured signals, shape (V, N).
    protocol
        What was played out.
    usable
        Voxels that will be fitted, (V,).
    noise
        What is known of it; None estimates it by `pooled_sigma`.
    bounds
        Limits that replace the model's physical ones.

    Raises
    ------
    InputError
        If it is not positive in a usable voxel or cannot be estimated.
    """
    if noise is None:
        sigma = (
            pooled_sigma(model, signal[usable], protocol.take(usable), bounds=bounds) if usable.any() else 1.0
        )
        noise = Noise(sigma, sigma)
    found = noise.spread(usable.size)
    require_positive(found.take(usable))
    return found


def require_positive(noise: VoxelNoise) -> None:
    """Refuse noise of which a voxel has none.

    Raises
    ------
    InputError
        If floor or scatter are not above 0 everywhere.
    """
    for level in (noise.floor, noise.scatter):
        if not np.all(level > 0):
            raise InputError(
                f"the smallest noise standard deviation is {np.min(level):g}",
                field="sigma",
                needed="numbers above 0",
                fix="use lsq for noise-free signals",
            )


def residual_sigma(
    model: Model, signal: npt.ArrayLike, protocol: Protocol, *, bounds: Bounds | None = None
) -> FloatArray:
    """Estimate the noise of every voxel by itself, for data whose voxels do not share one.

    Parameters
    ----------
    model, protocol, bounds
        As in `pooled_sigma`.
    signal
        Measured signals, shape (V, N).

    Returns
    -------
    Standard deviations, shape (V,): NaN where a voxel cannot be fitted, never below 1e-6 of its own rms.

    Raises
    ------
    InputError
        If there are no more measurements than free parameters.
    """
    lower, upper = model.limits(bounds)
    freedom = protocol.n_measurements - int(np.count_nonzero(lower < upper))
    if freedom < 1:
        raise InputError(
            f"{protocol.n_measurements} measurements leave no residuals",
            needed="more measurements than free parameters",
            fix="give the noise standard deviation",
        )
    residual = Lsq().fit(model, signal, protocol, bounds=bounds).residual
    rms = np.sqrt(np.mean(np.square(np.asarray(signal, dtype=np.float64)), axis=1))
    return np.asarray(np.maximum(residual * np.sqrt(protocol.n_measurements / freedom), 1e-6 * rms))


def magnitude_variance(mean: FloatArray) -> FloatArray:
    """Return the variance of magnitudes of given mean, both over the noise of either channel, same shape."""
    means, variances = rician_moments(np.linspace(0.0, 20.0, 2001))
    return np.asarray(np.interp(mean, means, variances))


def pooled_variance(cost: FloatArray, freedom: FloatArray | npt.NDArray[np.intp]) -> float:
    """Return the variance of chi-squared distributed costs, without outliers.

    Parameters
    ----------
    cost
        Sums of squared residuals, (V,).
    freedom
        Degrees of freedom of each, (V,).
    """
    from scipy.special import gammainc

    typical = float(np.median(cost / freedom / median_share(np.asarray(freedom, dtype=np.float64))))
    limit = freedom + OUTLIER * np.sqrt(2.0 * freedom)
    kept = cost <= limit * typical
    # What is expected of chi-squared below its limit, which the cut at the limit makes smaller.
    values, which = np.unique(freedom, return_inverse=True)
    limits = values + OUTLIER * np.sqrt(2.0 * values)
    expected = values * gammainc(values / 2.0 + 1.0, limits / 2.0) / gammainc(values / 2.0, limits / 2.0)
    return float(np.sum(cost[kept]) / np.sum(expected[which[kept]])) if np.any(kept) else typical
