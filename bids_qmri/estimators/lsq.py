"""Least squares within bounds, all voxels at once: the classical reference of all other estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.asymptotic import assemble, checked_signal, require_measurements
from bids_qmri.estimators.base import FitResult
from bids_qmri.estimators.lm import minimise
from bids_qmri.estimators.objective import LeastSquares
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
    """Fit a model by least squares, weighted by the images averaged into each measurement.

    Parameters
    ----------
    model
        Forward model.
    signal
        Measured signals, shape (V, N). Voxels that are not finite, zero everywhere or, for a model with an
        amplitude, not positive on average are not fitted and get status UNUSABLE.
    protocol
        What was played out; shared by all voxels or with a voxel axis.
    sigma
        Noise standard deviation of a single image, one number or (V,). It changes the standard deviations
        alone; None takes it from the residuals of each voxel, which needs more measurements than free
        parameters.
    bounds
        Limits that replace the model's physical ones; equal limits fix a parameter.

    Raises
    ------
    InputError
        If the shape does not fit the protocol or there are fewer measurements than free parameters.
    """
    data, usable = checked_signal(model, signal, protocol)
    limits = model.limits(bounds)
    require_measurements(model, protocol, *limits)
    weights = protocol.weights
    objective = LeastSquares(data[usable].T, None if np.all(weights == 1.0) else weights[:, None])
    minimum = minimise(model, objective, protocol.take(usable), *limits)
    noise = None if sigma is None else np.broadcast_to(np.asarray(sigma, dtype=np.float64), usable.shape)
    return assemble(model, minimum, data, usable, protocol, limits, sigma=noise, rician=False)
