"""Estimator ``ratio``: the transmit field by the formula of its method, with error bars by propagation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.base import Estimator, FitResult, Status
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.transmit import TransmitProtocol
from bids_qmri.techniques.tb1.model import amplitude_of
from bids_qmri.units import FloatArray

STEP = 1e-4
"""Share of the largest signal of a voxel by which the influence of each image is told."""


@dataclass(frozen=True)
class Ratio(Estimator):
    """The field of the ratios of images; `sigma` tells the standard deviation alone.

    Voxels whose ratio no angle explains are UNUSABLE.
    """

    label = "ratio"
    description = (
        "Ratio of images that differ in flip angle, repetition time or echo, by the formula of the method; "
        "standard deviations by error propagation from the noise of the images."
    )
    reference = (
        "Insko and Bolinger 1993, doi:10.1006/jmra.1993.1133; Yarnykh 2007, doi:10.1002/mrm.21120; Jiru and "
        "Klose 2006, doi:10.1002/mrm.21083: the one of the method"
    )
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
        assert isinstance(protocol, TransmitProtocol)
        data = np.asarray(signal, dtype=np.float64).T
        low, high = model.parameters[0].bounds
        field = protocol.field(data)
        known = np.all(np.isfinite(data), axis=0) & (field > low) & (field < high)
        field = np.where(known, field, np.nan)
        status = np.where(known, Status.OK, Status.UNUSABLE).astype(np.uint8)
        spread = np.full(field.size, np.nan)
        if noise is not None and protocol.has_noise:
            level = noise.spread(field.size).scatter
            spread[known] = (level * _error(data, field, protocol))[known]
        maps, residual = {"b1": field}, np.full(field.size, np.nan)
        if protocol.has_noise:
            at = np.where(known, field, 1.0)
            amplitude = amplitude_of(data, at, protocol)
            rest = data - amplitude * protocol.contrast(at)
            residual[known] = np.sqrt(np.mean(rest**2, axis=0))[known]
            maps["s0"] = np.where(known, amplitude, np.nan)
        return FitResult(maps, {"b1": spread}, residual, status)


def _error(data: FloatArray, field: FloatArray, protocol: TransmitProtocol) -> FloatArray:
    """Return the error of the field that unit noise in every image makes, (V,)."""
    step = STEP * np.max(np.abs(data), axis=0)
    step = np.where(step > 0, step, np.nan)
    variance = np.zeros(field.size)
    for image in range(len(data)):
        changed = data.copy()
        changed[image] += step
        variance += ((protocol.field(changed) - field) / step) ** 2
    return np.sqrt(variance)
