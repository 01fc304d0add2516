"""Maximum likelihood of magnitude images: like `lsq`, but with the Rician noise that they have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, FitResult
from bids_qmri.estimators.classical.asymptotic import assemble, checked_signal, require_measurements
from bids_qmri.estimators.classical.lm import minimise
from bids_qmri.estimators.classical.noise import voxel_noise
from bids_qmri.estimators.classical.objective import RicianLikelihood
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol


@dataclass(frozen=True)
class Mle(Estimator):
    """Maximum of the Rician likelihood; voxels that are negative anywhere are UNUSABLE."""

    label = "mle"
    description = (
        "Maximum of the Rician likelihood within bounds, noise level given or estimated from the scan."
    )
    reference = "Sijbers et al. 1998, doi:10.1109/42.712125"
    needs_noise = True
    single_images = True

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        if not model.magnitude:
            raise InputError(
                f"{model.name} describes concentrations, whose noise is not Rician",
                needed="a model of magnitude images",
                fix="use lsq",
            )
        data, usable = checked_signal(model, signal, protocol)
        usable &= ~np.any(data < 0, axis=1)
        limits = model.limits(bounds)
        require_measurements(model, protocol, *limits)
        told = voxel_noise(model, data, protocol, usable, noise, bounds)
        weights = protocol.weights
        objective = RicianLikelihood(
            data[usable].T, told.floor[usable], None if np.all(weights == 1.0) else weights[:, None]
        )
        minimum = minimise(model, objective, protocol.take(usable), *limits)
        return assemble(model, minimum, data, usable, protocol, limits, noise=told, rician=True)
