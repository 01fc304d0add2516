"""Maximum likelihood of magnitude images: like `lsq`, but with the Rician noise that they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.asymptotic import assemble, checked_signal, require_measurements
from bids_qmri.estimators.base import FitResult
from bids_qmri.estimators.lm import minimise
from bids_qmri.estimators.noise import voxel_sigma
from bids_qmri.estimators.objective import RicianLikelihood
from bids_qmri.models.base import Bounds, Model
from bids_qmri.units import FloatArray


def fit(
    model: Model,
    signal: npt.ArrayLike,
    protocol: Any,
    *,
    sigma: float | FloatArray | None = None,
    bounds: Bounds | None = None,
) -> FitResult:
    """Fit a model by the Rician likelihood.

    Parameters
    ----------
    model
        Forward model of a magnitude signal.
    signal
        Measured magnitudes, shape (V, N). Voxels that are not finite, negative anywhere or zero everywhere
        are not fitted and get status UNUSABLE.
    protocol
        What was played out; shared by all voxels or with a voxel axis.
    sigma
        Noise standard deviation of a single image, one number or (V,). None estimates one for all the
        voxels given (`pooled_sigma`): give it where a scan is fitted in parts.
    bounds
        Limits that replace the model's physical ones; equal limits fix a parameter.

    Raises
    ------
    InputError
        If the shape does not fit the protocol, there are fewer measurements than free parameters, `sigma`
        is not positive or cannot be estimated, or the model is not one of magnitudes.
    """
    if model.amplitude is None:
        raise InputError(
            f"{model.name} describes concentrations, whose noise is not Rician",
            needed="a model of magnitude images",
            way_out="use lsq",
        )
    data, usable = checked_signal(model, signal, protocol)
    usable &= ~np.any(data < 0, axis=1)
    limits = model.limits(bounds)
    require_measurements(model, protocol, *limits)
    noise = voxel_sigma(model, data, protocol, usable, sigma, bounds)
    weights = protocol.weights
    objective = RicianLikelihood(
        data[usable].T, noise[usable], None if np.all(weights == 1.0) else weights[:, None]
    )
    minimum = minimise(model, objective, protocol.take(usable), *limits)
    return assemble(model, minimum, data, usable, protocol, limits, sigma=noise, rician=True)
