"""What every estimator returns, and the meaning of the numbers in its status map."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bids_qmri.models.base import Bounds, Model
from bids_qmri.units import FloatArray


class Status(IntEnum):
    """What happened in a voxel."""

    OUTSIDE = 0
    OK = 1
    AT_BOUND = 2
    NOT_CONVERGED = 3
    UNUSABLE = 4
    OUT_OF_RANGE = 5


STATUS_MEANING = {
    Status.OUTSIDE: "outside the mask",
    Status.OK: "estimated",
    Status.AT_BOUND: "estimated, a parameter lies at its bound",
    Status.NOT_CONVERGED: "not converged",
    Status.UNUSABLE: "signal not finite or unusable",
    Status.OUT_OF_RANGE: "outside what the network was trained for",
}


@dataclass(frozen=True)
class FitResult:
    """Maps of V voxels.

    Parameters
    ----------
    maps
        Estimates by parameter name, each (V,), in the parameter's unit; NaN where `status` is UNUSABLE.
    sd
        Standard deviations by parameter name, each (V,), same unit; NaN where they cannot be known.
    residual
        Root mean square difference between signal and model, (V,), in the unit of the signal.
    status
        One `Status` per voxel, (V,), uint8.
    notes
        What a person should know about all of them.
    """

    maps: dict[str, FloatArray]
    sd: dict[str, FloatArray] = field(default_factory=dict)
    residual: FloatArray = field(default_factory=lambda: np.empty(0))
    status: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
    notes: tuple[str, ...] = ()


class Estimator(Protocol):
    """The one call that all estimators share.

    Parameters
    ----------
    model
        Forward model.
    signal
        Measured signals, shape (V, N).
    protocol
        What was played out; shared by all voxels or with a voxel axis.
    sigma
        Noise standard deviation of a single image in the unit of the signal: one number, (V,), or None.
    bounds
        Limits that replace the model's physical ones.
    """

    def __call__(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Any,
        *,
        sigma: float | FloatArray | None = None,
        bounds: Bounds | None = None,
    ) -> FitResult: ...
