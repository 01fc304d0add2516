"""Estimator ``rational``: the closed form that multi-parameter mapping is known by, with its error bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.base import Estimator, FitResult, Status
from bids_qmri.estimators.classical.asymptotic import checked_signal
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.mpm.protocol import MultiParameterProtocol
from bids_qmri.techniques.mpm.rational import rational
from bids_qmri.units import FloatArray

NAMES = ("t1", "r2star", "mtsat", "pd")
STEP = 1e-4
"""Change of a signal by which its influence is told, as a share."""


@dataclass(frozen=True)
class Rational(Estimator):
    """Small-angle, short-TR approximation, ESTATICS for the decay; noise is propagated through all of it.

    `sigma` changes the standard deviations alone; None takes it from the residuals of each voxel, where there
    are more measurements than unknowns.
    """

    label = "rational"
    description = (
        "Rational approximation of the signal at small flip angles and short repetition times, after one "
        "logarithmic fit of the decay of all echoes; standard deviations by error propagation."
    )
    reference = "Helms et al. 2008, doi:10.1002/mrm.21732"
    own_limits = True

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        assert isinstance(protocol, MultiParameterProtocol)
        data, usable = checked_signal(model, signal, protocol)
        usable &= np.all(data > 0, axis=1)
        measured, own = data[usable].T, protocol.take(usable)
        found = rational(measured, own)
        solved = np.all(np.isfinite(found), axis=0)
        known = dict(zip(NAMES, found, strict=True))
        theta = np.stack([known[p.name] for p in model.parameters])
        residual = np.full(usable.size, np.nan)
        difference = measured - model.signal(np.where(solved, theta, 1.0), own)
        residual[usable] = np.where(solved, np.sqrt(np.mean(difference**2, axis=0)), np.nan)
        level = _level(noise, usable, difference, len(model.parameters))
        variance = _propagated(measured, own, found, level)
        derived, slopes = model.derive(theta)
        status = np.full(usable.size, Status.UNUSABLE, dtype=np.uint8)
        status[usable] = np.where(solved, Status.OK, Status.UNUSABLE)
        maps, sd = {}, {}
        deviations = {name: np.sqrt(row) for name, row in zip(NAMES, variance, strict=True)}
        for p in model.parameters:
            maps[p.name], sd[p.name] = _spread(known[p.name], usable), _spread(deviations[p.name], usable)
        for p, row, slope in zip(model.derived, derived, slopes, strict=True):
            maps[p.name] = _spread(row, usable)
            sd[p.name] = _spread(np.abs(slope[0]) * deviations[model.parameters[0].name], usable)
        return FitResult(maps, sd, residual, status)


def _spread(values: FloatArray, usable: npt.NDArray[np.bool_]) -> FloatArray:
    """Return values of usable voxels among all, (V,), NaN where there is none."""
    whole = np.full(usable.size, np.nan)
    whole[usable] = np.where(np.isfinite(values), values, np.nan)
    return whole


def _level(
    noise: Noise | None, usable: npt.NDArray[np.bool_], difference: FloatArray, parameters: int
) -> FloatArray:
    """Return the noise of an image in usable voxels, (v,); NaN where nothing tells it."""
    if noise is not None:
        return noise.spread(usable.size).take(usable).scatter
    freedom = len(difference) - parameters
    if freedom <= 0:
        return np.full(difference.shape[1], np.nan)
    return np.asarray(np.sqrt(np.sum(difference**2, axis=0) / freedom))


def _propagated(
    measured: FloatArray, protocol: MultiParameterProtocol, found: FloatArray, level: FloatArray
) -> FloatArray:
    """Return the variance of all four quantities, (4, v), from that of the images."""
    variance = np.zeros_like(found)
    for image in range(len(measured)):
        step = STEP * measured[image]
        changed = measured.copy()
        changed[image] += step
        variance += ((rational(changed, protocol) - found) / step * level) ** 2
    return variance
