"""Where a minimisation ended, and the prior that joined its cost. Used by `lm` and by kernels alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.units import FloatArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Minimum:
    """Where the minimisation of V voxels ended.

    Parameters
    ----------
    theta
        Parameters, shape (P, V).
    converged
        True where the tolerance was met, shape (V,).
    gradient, curvature
        Minus half the gradient of the cost there and half its curvature, shapes (P, V) and (P, P, V).
    """

    theta: FloatArray
    converged: BoolArray
    gradient: FloatArray
    curvature: FloatArray

    def put(self, voxels: npt.NDArray[np.intp], other: Minimum) -> None:
        """Replace some voxels."""
        self.theta[:, voxels], self.converged[voxels] = other.theta, other.converged
        self.gradient[:, voxels], self.curvature[:, :, voxels] = other.gradient, other.curvature


@dataclass(frozen=True)
class Penalty:
    """A Gaussian prior, as a cost of being far from its centre; the amplitude costs nothing.

    Parameters
    ----------
    weight
        Squared noise, what a squared distance of one standard deviation costs, shape (V,).
    centre
        In the unit of the parameters, shape (P, 1) or (P, V).
    precision
        One over the variance of the prior in box widths, shape (P, 1) or (P, V).
    """

    weight: FloatArray
    centre: FloatArray
    precision: FloatArray

    def take(self, voxels: npt.NDArray[np.intp]) -> Penalty:
        """Return that of some voxels."""
        shared = self.centre.shape[1] == 1
        parts = (self.centre, self.precision)
        return Penalty(self.weight[voxels], *(part if shared else part[:, voxels] for part in parts))
