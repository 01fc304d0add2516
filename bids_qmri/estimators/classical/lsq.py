"""Least squares within bounds, all voxels at once: the classical reference of all other estimators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.base import Estimator, FitResult
from bids_qmri.estimators.classical.asymptotic import assemble, checked_signal, require_measurements
from bids_qmri.estimators.classical.lm import minimise
from bids_qmri.estimators.classical.objective import LeastSquares
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol


@dataclass(frozen=True)
class Lsq(Estimator):
    """Least squares, weighted by the images averaged into each measurement.

    `sigma` changes the standard deviations alone; None takes it from the residuals of each voxel, which needs
    more measurements than free parameters. Voxels of a model with an amplitude that are not positive on
    average are UNUSABLE.
    """

    label = "lsq"
    description = "Bounded nonlinear least squares by the Levenberg-Marquardt algorithm, all voxels at once."
    reference = "Marquardt 1963, doi:10.1137/0111030"

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
        limits = model.limits(bounds)
        require_measurements(model, protocol, *limits)
        weights = protocol.weights
        objective = LeastSquares(data[usable].T, None if np.all(weights == 1.0) else weights[:, None])
        minimum = minimise(model, objective, protocol.take(usable), *limits)
        told = None if noise is None else noise.spread(usable.size)
        return assemble(model, minimum, data, usable, protocol, limits, noise=told, rician=False)
