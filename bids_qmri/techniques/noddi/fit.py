"""NODDI by least squares or by the Rician likelihood, all voxels at once.

S0 is the mean at b = 0, fixed in the fit, as in the NODDI toolbox. The toolbox maximises a Rician likelihood
with a noise level of a hundredth of the real one, which is least squares. The direction starts along the
least signal (`fibre_direction`), the rest on a grid (`Noddi.start`); then all of them are free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.base import Estimator, FitResult, Status
from bids_qmri.estimators.classical.asymptotic import assemble, checked_signal, require_measurements
from bids_qmri.estimators.classical.lm import minimise
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.classical.minimum import Minimum
from bids_qmri.estimators.classical.mle import Mle
from bids_qmri.estimators.classical.noise import require_positive
from bids_qmri.estimators.classical.objective import LeastSquares, QuickRicianLikelihood, RicianLikelihood
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.limits import at_bound
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise, VoxelNoise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.noddi.each_voxel import fit_each
from bids_qmri.techniques.noddi.encoding import Encoding, align, encode
from bids_qmri.techniques.noddi.fibre_direction import form_weights, least_axis
from bids_qmri.techniques.noddi.model import Noddi
from bids_qmri.techniques.noddi.shell_noise import shell_sigma
from bids_qmri.techniques.noddi.zonal import sort_shells
from bids_qmri.units import FloatArray

Likelihood = Literal["gaussian", "rician"]

TURNS = 4
"""Times that a frame may follow a direction which has left it by 60 degrees."""


@dataclass(frozen=True)
class NoddiLsq(Estimator):
    """Least squares on shells.

    Maps of NDI, ODI, FWF; s0, the mean at b = 0; the unit direction in the frame of the gradients, with a z
    component that is not negative. `residual` is over the images with diffusion weighting, standard
    deviations hold for the S0 that was used.
    """

    label = "lsq"
    description = Lsq.description
    reference = Lsq.reference

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        return _fit(model, signal, protocol, noise, bounds, "gaussian")


@dataclass(frozen=True)
class NoddiMle(Estimator):
    """Maximum of the Rician likelihood on shells; maps as of `NoddiLsq`.

    Without a noise level, one is estimated for all the voxels given (`shell_sigma`).
    """

    label = "mle"
    description = Mle.description
    reference = Mle.reference
    needs_noise = True

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        return _fit(model, signal, protocol, noise, bounds, "rician")


def _fit(
    model: Any,
    signal: npt.ArrayLike,
    protocol: Protocol,
    told: Noise | None,
    bounds: Bounds | None,
    likelihood: Likelihood,
) -> FitResult:
    assert isinstance(protocol, DiffusionProtocol)
    data, usable = checked_signal(model, signal, protocol)
    shells = sort_shells(protocol)
    weighted = np.flatnonzero(~protocol.b0_mask)
    encoding = encode(_part(protocol, weighted), model.d_par, model.d_iso)
    limits = model.limits(bounds)
    require_measurements(model, align(encoding, np.empty((3, 0))), *limits)
    s0 = np.average(data[:, shells.b0], axis=1, weights=protocol.weights[shells.b0])
    usable &= s0 > 0
    if likelihood == "rician":
        usable &= ~np.any(data < 0, axis=1)
        if told is None and usable.any():
            sigma = shell_sigma(data[usable], protocol, model.d_par)
            told = Noise(sigma, sigma)
    noise = _relative_noise(told, s0, usable)
    relative = np.ascontiguousarray(data[usable].T) / s0[usable]
    form = form_weights(shells.directions, shells.members, shells.bvals, model.d_par)
    direction = least_axis(form @ relative)
    found = _fit_relative(
        model, relative[weighted[encoding.order]], encoding, direction, noise, limits, likelihood
    )
    return _scatter(found, s0, usable)


def _part(protocol: DiffusionProtocol, images: npt.NDArray[np.intp]) -> DiffusionProtocol:
    bvecs = None if protocol.bvecs is None else protocol.bvecs[images]
    return DiffusionProtocol(protocol.bvals[images], bvecs, protocol.weights[images])


def _relative_noise(told: Noise | None, s0: FloatArray, usable: npt.NDArray[np.bool_]) -> VoxelNoise | None:
    """Return the noise of usable voxels in units of their S0; None if it is not known."""
    if told is None:
        return None
    noise = told.spread(usable.size).take(usable)
    require_positive(noise)
    return noise.over(s0[usable])


def _fit_relative(
    model: Noddi,
    signal: FloatArray,
    encoding: Encoding,
    direction: FloatArray,
    noise: VoxelNoise | None,
    limits: tuple[FloatArray, FloatArray],
    likelihood: Likelihood,
) -> FitResult:
    """Fit signals over S0, (N, V), in the order of `encoding`; directions, (3, V), are first estimates."""
    if model.compiled:
        found, direction = _fit_each(model, signal, encoding, direction, noise, limits, likelihood)
    else:
        found, direction = _fit_all(model, signal, encoding, direction, noise, limits, likelihood)
    upward = direction * np.where(direction[2] < 0, -1.0, 1.0)
    for name, component in zip("xyz", upward, strict=True):
        found.maps[f"direction_{name}"] = component
    return found


def _fit_each(
    model: Noddi,
    signal: FloatArray,
    encoding: Encoding,
    direction: FloatArray,
    noise: VoxelNoise | None,
    limits: tuple[FloatArray, FloatArray],
    likelihood: Likelihood,
) -> tuple[FitResult, FloatArray]:
    """Fit every voxel by itself, compiled; return the result and directions, (3, V)."""
    floor = noise.floor if noise is not None and likelihood == "rician" else None
    found = fit_each(
        model, signal, encoding, direction, limits, floor, None if noise is None else noise.scatter
    )
    bound = at_bound(found.theta, *limits)
    touched = np.any(bound & (limits[0] < limits[1])[:, None], axis=0)
    status = np.where(touched, Status.AT_BOUND, Status.OK).astype(np.uint8)
    status[~found.converged] = Status.NOT_CONVERGED
    names = [p.name for p in model.parameters]
    maps, deviations = (dict(zip(names, rows, strict=True)) for rows in (found.theta, found.sd))
    return FitResult(maps, deviations, found.residual, status), found.direction


def _fit_all(
    model: Noddi,
    signal: FloatArray,
    encoding: Encoding,
    direction: FloatArray,
    noise: VoxelNoise | None,
    limits: tuple[FloatArray, FloatArray],
    likelihood: Likelihood,
) -> tuple[FitResult, FloatArray]:
    """Fit all voxels at once; return the result and directions, (3, V)."""
    weights = None if np.all(encoding.weights == 1.0) else encoding.weights[:, None]
    if likelihood == "gaussian":
        minimum, direction = descend(model, LeastSquares(signal, weights), encoding, direction, limits)
    else:
        assert noise is not None
        quick = QuickRicianLikelihood(signal, noise.floor, weights)
        minimum, direction = descend(model, quick, encoding, direction, limits)
        exact = RicianLikelihood(signal, noise.floor, weights)
        minimum, direction = descend(model, exact, encoding, direction, limits, minimum.theta)
    found = assemble(
        model,
        minimum,
        signal.T,
        np.ones(signal.shape[1], dtype=np.bool_),
        align(encoding, direction),
        limits,
        noise=noise,
        rician=likelihood == "rician",
    )
    return found, direction


def descend(
    model: Noddi,
    objective: LeastSquares | QuickRicianLikelihood | RicianLikelihood,
    encoding: Encoding,
    direction: FloatArray,
    limits: tuple[FloatArray, FloatArray],
    start: FloatArray | None = None,
) -> tuple[Minimum, FloatArray]:
    """Minimise an objective over the parameters and the direction.

    Where the direction leaves its frame, another frame takes over.

    Parameters
    ----------
    model
        Holds the diffusivities and what is fitted.
    objective
        Misfit to signals over S0, (N, V), in the order of `encoding`.
    encoding
        The protocol.
    direction
        First estimates, unit vectors of shape (3, V).
    limits
        Lower and upper ones, each of shape (P,).
    start
        First estimates of the parameters, shape (P, V), with tilts of 0; None takes those of the model.

    Returns
    -------
    The minimum, with all tilts at 0, and the directions, (3, V).
    """
    lower, upper = limits
    aligned = align(encoding, direction)
    minimum = minimise(model, objective, aligned, lower, upper, start=start)
    theta = minimum.theta
    direction = aligned.turn(theta[-2:])[0]
    for _ in range(TURNS):
        left = np.flatnonzero(np.any(np.abs(theta[-2:]) >= upper[-2:, None], axis=0))
        if left.size == 0:
            break
        theta[-2:, left] = 0.0
        aligned = align(encoding, direction[:, left])
        again = minimise(model, objective.take(left), aligned, lower, upper, start=theta[:, left])
        theta[:, left], minimum.converged[left] = again.theta, again.converged
        direction[:, left] = aligned.turn(again.theta[-2:])[0]
    theta[-2:] = 0.0
    return minimum, direction


def _scatter(found: FitResult, s0: FloatArray, usable: npt.NDArray[np.bool_]) -> FitResult:
    """Return the result of all voxels from that of the usable ones, in the unit of the signal."""

    def spread(values: FloatArray) -> FloatArray:
        everywhere = np.full(usable.shape, np.nan)
        everywhere[usable] = values
        return everywhere

    status = np.full(usable.shape, Status.UNUSABLE, dtype=np.uint8)
    status[usable] = found.status
    maps = {name: spread(values) for name, values in found.maps.items() if not name.startswith("tilt")}
    deviations = {name: spread(values) for name, values in found.sd.items() if not name.startswith("tilt")}
    return FitResult(
        maps | {"s0": spread(s0[usable])}, deviations, spread(found.residual * s0[usable]), status
    )
