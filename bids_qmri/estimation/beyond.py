"""Voxels whose truth lies outside the limits within which an estimator expects it: least squares takes over.

An estimator with a prior cannot answer outside its limits; what it answers instead is wrong in every
parameter (blood in a voxel of a tumour has more plasma than tissue can hold, and the excess becomes
permeability). Where its estimate lies near such a limit, and least squares within the physical limits ends
beyond it and explains the signal far better than within the estimator's, values and standard deviations are
those of that fit, and the status says so.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.preparation import Preparation
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

NEAR = 0.1
"""Distance from a limit over the width of the limits that is near it; or two standard deviations, if more."""

BETTER = 9.55
"""Fall of chi-squared that noise brings about in one voxel of a thousand whose truth is a limit.

The fall is twice the gain of log likelihood where one parameter is freed on one side. Of truths at the limit
half are found within; the others have a fall like chi-squared of one degree of freedom, which is above 9.55
in 0.002 of them. A truth d standard deviations within needs noise of d + 3.1 of them, so that of truths that
are even within several limits fewer than one in a thousand are taken to lie beyond.
"""


def beyond_limits(
    model: Model,
    how: Preparation,
    signal: FloatArray,
    protocol: Protocol,
    noise: Noise | None,
    fit: FitResult,
) -> FitResult:
    """Return a result in which least squares has taken over where the truth lies beyond the limits.

    Parameters
    ----------
    model, how
        What is fitted: `how.bounds` are the estimator's limits, `how.physical` those of least squares.
    signal, protocol, noise
        What was fitted, (V, N).
    fit
        What was found.
    """
    inner, outer = model.limits(how.bounds), model.limits(how.physical)
    wider = np.flatnonzero((outer[0] < inner[0]) | (outer[1] > inner[1]))
    wider = np.array([i for i in wider if inner[0][i] < inner[1][i]], dtype=np.intp)
    if noise is None or not wider.size:
        return fit
    voxels = np.flatnonzero(_near(model, wider, inner, outer, fit))
    if not voxels.size:
        return fit
    part = protocol.take(voxels)
    told = noise.spread(len(signal)).take(voxels)
    given = (model, signal[voxels], part)
    within, other = (
        Lsq().fit(*given, sigma=Noise(told.floor, told.scatter), bounds=bounds)
        for bounds in (how.bounds, how.physical)
    )
    fall = (_cost(*given, within) - _cost(*given, other)) / told.scatter**2
    outside = np.zeros(voxels.size, dtype=bool)
    for i in wider:
        values = other.maps[model.parameters[i].name]
        outside |= (values < inner[0][i]) | (values > inner[1][i])
    good = outside & (fall > BETTER) & np.isin(other.status, (Status.OK, Status.AT_BOUND))
    return _replaced(fit, other, voxels[good], np.flatnonzero(good)) if good.any() else fit


def _near(
    model: Model,
    wider: npt.NDArray[np.intp],
    inner: tuple[FloatArray, FloatArray],
    outer: tuple[FloatArray, FloatArray],
    fit: FitResult,
) -> npt.NDArray[np.bool_]:
    """Return which voxels have an estimate near a limit beyond which the truth could lie, (V,)."""
    found = np.zeros(fit.status.size, dtype=bool)
    for i in wider:
        name = model.parameters[i].name
        values, sd = fit.maps[name], np.nan_to_num(fit.sd.get(name, np.zeros(1)))
        reach = np.maximum(NEAR * (inner[1][i] - inner[0][i]), 2.0 * sd)
        if outer[1][i] > inner[1][i]:
            found |= values > inner[1][i] - reach
        if outer[0][i] < inner[0][i]:
            found |= values < inner[0][i] + reach
    return np.asarray(found & (fit.status != Status.UNUSABLE))


def _cost(model: Model, signal: FloatArray, protocol: Protocol, fit: FitResult) -> FloatArray:
    """Return weighted sums of squared residuals, (v,)."""
    theta = np.stack([np.asarray(fit.maps[p.name], dtype=np.float64) for p in model.parameters])
    difference = signal.T - model.signal(theta, protocol)
    return np.asarray(np.einsum("n,nv,nv->v", protocol.weights, difference, difference))


def _replaced(
    fit: FitResult, other: FitResult, voxels: npt.NDArray[np.intp], of_other: npt.NDArray[np.intp]
) -> FitResult:
    """Return a result with values and standard deviations of another in some voxels."""
    maps, sd = ({name: values.copy() for name, values in part.items()} for part in (fit.maps, fit.sd))
    for whole, part in ((maps, other.maps), (sd, other.sd)):
        for name in whole.keys() & part.keys():
            whole[name][voxels] = part[name][of_other]
    residual, status = fit.residual.copy(), fit.status.copy()
    residual[voxels], status[voxels] = other.residual[of_other], Status.OUT_OF_RANGE
    return replace(fit, maps=maps, sd=sd, residual=residual, status=status)
