"""From the minimum of a likelihood to a FitResult: standard deviations, derived quantities, status.

Shared by `lsq` and `mle`. Standard deviations are those of the Cramer-Rao bound at the estimate, with the
parameters that lie at a limit held there; such a parameter has none itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.estimators.classical.invert import invert
from bids_qmri.estimators.classical.minimum import Minimum
from bids_qmri.physics.limits import at_bound
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import VoxelNoise, rician_information
from bids_qmri.physics.protocol import Measurements
from bids_qmri.units import FloatArray

SINGULAR = 1e-12
"""Determinant of the correlation of the information below which parameters cannot be told apart."""

BLOCK_VALUES = 2**15
"""Signal values per block, as in `lm`."""

BoolArray = npt.NDArray[np.bool_]


def checked_signal(
    model: Model, signal: npt.ArrayLike, protocol: Measurements
) -> tuple[FloatArray, BoolArray]:
    """Return the signal as float64 (V, N) and which voxels can be fitted, (V,).

    Raises
    ------
    InputError
        If the shape does not fit the protocol, or there are fewer measurements than parameters.
    """
    data = np.asarray(signal, dtype=np.float64)
    count = protocol.n_measurements
    if data.ndim != 2 or data.shape[1] != count:
        raise InputError(
            f"signals have shape {data.shape}", needed=f"(voxels, {count}), one column per measurement"
        )
    usable = np.all(np.isfinite(data), axis=1) & np.any(data != 0, axis=1)
    if model.amplitude is not None:
        # A model that is a positive amplitude times a positive curve cannot explain anything else.
        usable &= np.sum(np.where(np.isfinite(data), data, 0.0), axis=1) > 0
    return data, usable


def require_measurements(model: Model, protocol: Measurements, lower: FloatArray, upper: FloatArray) -> None:
    """Refuse a protocol with fewer measurements than free parameters.

    Raises
    ------
    InputError
        Naming both numbers.
    """
    free = int(np.count_nonzero(lower < upper))
    if protocol.n_measurements < free:
        raise InputError(
            f"{model.name} has {free} free parameters and {protocol.n_measurements} measurements",
            needed=f"at least {free} measurements",
            fix="acquire more, or fix parameters by equal bounds",
        )


def assemble(
    model: Model,
    minimum: Minimum,
    signal: FloatArray,
    usable: BoolArray,
    protocol: Measurements,
    limits: tuple[FloatArray, FloatArray],
    *,
    noise: VoxelNoise | None,
    rician: bool,
) -> FitResult:
    """Build the result of all voxels from the minimum of the usable ones.

    Parameters
    ----------
    minimum
        Minimum of the usable voxels, in their order.
    signal
        Signals of all voxels, shape (V, N).
    usable
        Voxels that were fitted, shape (V,).
    protocol
        Protocol of all voxels.
    limits
        Lower and upper limits, each (P,).
    noise
        Of a single image in all voxels; None takes it from each voxel's own residuals.
    rician
        Information of magnitude images instead of that of Gaussian noise.
    """
    names = [p.name for p in (*model.parameters, *model.derived)]
    values = np.full((len(names), usable.size), np.nan)
    spread = np.full_like(values, np.nan)
    residual = np.full(usable.size, np.nan)
    bound = at_bound(minimum.theta, *limits)
    index = np.flatnonzero(usable)
    # A parameter that ended at a limit was fitted all the same: it costs its degree of freedom.
    freedom = protocol.n_measurements - int(np.count_nonzero(limits[0] < limits[1]))
    size = max(BLOCK_VALUES // protocol.n_measurements, 64)
    for first in range(0, index.size, size):
        part = slice(first, first + size)
        voxels = index[part]
        values[:, voxels], spread[:, voxels], residual[voxels] = _describe(
            model,
            minimum.theta[:, part],
            bound[:, part],
            signal[voxels].T,
            protocol.take(voxels),
            None if noise is None else noise.take(voxels),
            freedom,
            rician,
        )
    status = np.full(usable.size, Status.UNUSABLE, dtype=np.uint8)
    touched = np.any(bound & (limits[0] < limits[1])[:, None], axis=0)
    status[index] = np.where(touched, Status.AT_BOUND, Status.OK)
    status[index[~minimum.converged]] = Status.NOT_CONVERGED
    empty = index[_without_estimate(model, minimum.theta)]
    status[empty], residual[empty] = Status.UNUSABLE, np.nan
    values[:, empty] = spread[:, empty] = np.nan
    return FitResult(
        dict(zip(names, values, strict=True)), dict(zip(names, spread, strict=True)), residual, status
    )


def _without_estimate(model: Model, theta: FloatArray) -> BoolArray:
    """Return where the fit says nothing, (V,): an amplitude of 0, or a degenerate protocol (B1 of 0)."""
    empty = ~np.all(np.isfinite(theta), axis=0)
    if model.amplitude is not None:
        empty |= theta[[p.name for p in model.parameters].index(model.amplitude)] == 0
    return np.asarray(empty)


def _describe(
    model: Model,
    theta: FloatArray,
    bound: BoolArray,
    signal: FloatArray,
    protocol: Measurements,
    noise: VoxelNoise | None,
    freedom: int,
    rician: bool,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return values and standard deviations with derived quantities, (P + Q, V), and the rms residual."""
    with np.errstate(all="ignore"):
        prediction, jacobian = model.signal_and_jacobian(theta, protocol)
        difference = signal - prediction
        weights = protocol.weights[:, None]
        if noise is None:
            cost = np.sum(weights * difference**2, axis=0)
            noise = VoxelNoise.thermal(np.sqrt(cost / (freedom if freedom > 0 else np.nan)))
        if rician:
            weights = weights * rician_information(prediction / noise.floor)
        weighted, count = jacobian * weights, len(jacobian)
        information = np.empty((count, count, theta.shape[1]))
        for i, j in np.ndindex(count, count):
            information[i, j] = np.einsum("nv,nv->v", weighted[i], jacobian[j]) if j <= i else 0.0
        covariance = _inverse_of_free(information, ~bound)
        derived, slope = model.derive(theta)
        derived_covariance = np.einsum("qiv,ijv,qjv->qv", slope, covariance, slope)
        variance = np.concatenate([np.einsum("iiv->iv", covariance), derived_covariance])
        variance[: len(theta)][bound] = np.nan
        # Per unit of noise: without any, estimates are exact; what is held at a limit has no error to tell.
        spread = np.sqrt(np.where(variance > 0, variance, np.nan)) * noise.scatter
    return np.concatenate([theta, derived]), spread, np.sqrt(np.mean(difference**2, axis=0))


def _inverse_of_free(information: FloatArray, free: BoolArray) -> FloatArray:
    """Invert the information, lower part of (P, P, V), of what is free; the rest has rows of 0."""
    root = np.sqrt(np.where(free, np.einsum("iiv->iv", information), 1.0))
    scale = np.where(root > 0, root, 1.0)
    correlation = np.empty_like(information)
    for i in range(len(free)):
        for j in range(i):
            both = free[i] & free[j]
            correlation[i, j] = np.where(both, information[i, j] / (scale[i] * scale[j]), 0.0)
        correlation[i, i] = np.where(free[i], information[i, i] / scale[i] ** 2, 1.0)
    inverse, determinant = invert(correlation)
    inverse /= scale[:, None] * scale
    inverse *= free[:, None] & free
    inverse[:, :, ~(determinant > SINGULAR)] = np.nan
    return inverse
