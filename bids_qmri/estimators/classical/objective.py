"""What `estimators/lm.py` minimises: the misfit of a predicted signal and its derivatives, per voxel.

Costs are in squared signal units: for least squares the weighted sum of squares, for the Rician likelihood
-2 sigma^2 times its logarithm, so that both tend to the same number at high signal-to-noise ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from bids_qmri.physics.noise import bessel_ratio, log_bessel_i0, rician_information
from bids_qmri.units import FloatArray

Indices = npt.NDArray[np.intp]


class Objective(Protocol):
    """A sum over measurements of a convex-like misfit.

    Attributes
    ----------
    signal
        Measured signals, shape (N, V).
    weights
        Images averaged into each measurement, shape (N, 1), or None for one each.
    """

    @property
    def signal(self) -> FloatArray: ...

    @property
    def weights(self) -> FloatArray | None: ...

    def misfit(self, prediction: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Return cost (V,), score (N, V) and curvature (broadcasting to (N, V), None for 1).

        The score is minus half of the cost's derivative by the prediction, the curvature half of its
        expected second derivative.
        """
        ...

    def best_scale(self, prediction: FloatArray) -> FloatArray | None:
        """Return the factors, (V,), that scale a prediction to the least cost; None if not closed form."""
        ...

    def take(self, voxels: Indices) -> Self:
        """Return the objective of some voxels."""
        ...


@dataclass(frozen=True)
class LeastSquares:
    """Weighted sum of squared differences."""

    signal: FloatArray
    weights: FloatArray | None = None

    def misfit(self, prediction: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        difference = self.signal - prediction
        score = difference if self.weights is None else self.weights * difference
        return np.einsum("nv,nv->v", score, difference), score, self.weights

    def best_scale(self, prediction: FloatArray) -> FloatArray | None:
        weighted = prediction if self.weights is None else self.weights * prediction
        product = np.einsum("nv,nv->v", weighted, self.signal)
        return np.asarray(product / np.einsum("nv,nv->v", weighted, prediction))

    def take(self, voxels: Indices) -> LeastSquares:
        return LeastSquares(np.take(self.signal, voxels, axis=1), self.weights)


@dataclass(frozen=True)
class RicianLikelihood:
    """Likelihood of magnitude images, doi:10.1109/42.712125; `sigma` per voxel, shape (V,).

    An average of magnitude images counts as that many images with the same value.
    """

    signal: FloatArray
    sigma: FloatArray
    weights: FloatArray | None = None

    def misfit(self, prediction: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        variance = self.sigma**2
        argument = self.signal * prediction / variance
        cost = prediction**2 - 2.0 * variance * log_bessel_i0(argument)
        # Offset by the data alone: zero where prediction and data agree at high signal, as for least squares.
        cost += self.signal**2
        score = self.signal * bessel_ratio(argument) - prediction
        curvature = rician_information(prediction / self.sigma)
        if self.weights is not None:
            cost, score, curvature = (self.weights * x for x in (cost, score, curvature))
        return cost.sum(axis=0), score, curvature

    def best_scale(self, prediction: FloatArray) -> FloatArray | None:
        return None

    def take(self, voxels: Indices) -> RicianLikelihood:
        return RicianLikelihood(np.take(self.signal, voxels, axis=1), self.sigma[voxels], self.weights)


@dataclass(frozen=True)
class QuickRicianLikelihood:
    """The Rician likelihood with algebraic functions for the Bessel functions, ten times as fast.

    I1(x) / I0(x) is x / (1/2 + sqrt(x^2 + 9/4)), within 0.04 and exact in both limits; the cost is its
    integral, so that both have the same minimum. The information agrees in the leading terms of both limits,
    within 0.1. `sigma` per voxel, shape (V,).
    """

    signal: FloatArray
    sigma: FloatArray
    weights: FloatArray | None = None

    def misfit(self, prediction: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        variance = self.sigma**2
        argument = self.signal * (prediction / variance)
        root = np.sqrt(argument * argument + 2.25)
        divisor = root + 0.5
        power = prediction * prediction
        cost = power + self.signal * self.signal - variance * (2.0 * root - np.log(divisor))
        score = self.signal * (argument / divisor) - prediction
        power /= variance
        curvature = power / (0.5 + np.sqrt(power * power + 0.25))
        if self.weights is not None:
            cost, score, curvature = (self.weights * x for x in (cost, score, curvature))
        return cost.sum(axis=0), score, curvature

    def best_scale(self, prediction: FloatArray) -> FloatArray | None:
        return None

    def take(self, voxels: Indices) -> QuickRicianLikelihood:
        return QuickRicianLikelihood(np.take(self.signal, voxels, axis=1), self.sigma[voxels], self.weights)
