"""Weighted least squares of the logarithm of the signal, all voxels of a block at once.

Logarithms of signals are linear in the coefficients of a tensor, with variances that are inverse to the
squared signal. The weighted normal equations of a block are one matrix product and one batched inverse,
where dipy decomposes the weighted design of every voxel into singular values. Columns are scaled to order
1, and what is solved for is the step from the ordinary fit, repeated where the squared condition number
takes digits. Voxels run first; called by `tensor`.

Of second order in the noise, Gaussian and of one variance in all signals, coefficients are biased. The
logarithm of a signal S is, by -sigma^2 / (2 S^2); weights are, because they come from an ordinary fit of the
same noise, which adds 2 (h - l) sigma^2 / S^2 with the leverages h and l of a measurement in the ordinary and
the weighted fit. The two have opposite signs and similar sizes. The variance of signals counts into S^2, as
it does into the square of a measurement, so that a bias stays finite where there is no signal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.units import FloatArray

LEAST_WEIGHT = 1e-14
"""Smallest weight, relative to the largest of its voxel, that is left to normal equations."""

LARGEST_INFLATION = 1e6
"""Largest inflation of a variance by the other coefficients; above it too few digits are left."""

SMALL_INFLATION = 1e3
"""Up to this one solution has all the digits."""

LARGEST_EXPONENT = 300.0
"""Keeps weights finite; voxels near it are not left to normal equations."""

LARGEST_SWEPT = 12
"""Up to this size numpy is slower than sweeping all matrices at once."""

BLOCK_BYTES = 2**23
"""Size of the arrays of a block: smaller ones cost more in calls than they save in cache."""

SMALLEST_BLOCK = 128
"""Voxels; with fewer, calls of functions cost more than what they compute."""


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Solutions of the voxels of a block.

    Parameters
    ----------
    values
        Coefficients of the design, (V, P).
    covariance
        Their covariance, (V, P, P); NaN where it cannot be known.
    bias
        By how much their expectation exceeds the truth, to second order in the noise, (V, P).
    poor
        Voxels whose weights differ too much for normal equations, (V,): they have no values.
    """

    values: FloatArray
    covariance: FloatArray
    bias: FloatArray
    poor: npt.NDArray[np.bool_]


class NormalEquations:
    """The least-squares problems of one design.

    Parameters
    ----------
    design
        Derivatives of the logarithm of the signal by the coefficients, of full rank, (N, P).
    """

    def __init__(self, design: FloatArray) -> None:
        self.count, self.size = design.shape
        self._design = design
        self._scale = np.abs(design).max(axis=0)
        self._columns = design / self._scale
        self._inverse = np.linalg.pinv(self._columns)
        # Of the columns as they are, as dipy has it: the same rounding.
        self._ordinary = np.linalg.pinv(design)
        rows, columns = np.triu_indices(self.size)
        self._products = self._columns[:, rows] * self._columns[:, columns]
        self._quadratic = np.where(rows == columns, 1.0, 2.0)[:, None] * self._products.T
        self._upper = rows * self.size + columns
        self._place = np.empty((self.size, self.size), dtype=np.intp)
        self._place[rows, columns] = self._place[columns, rows] = np.arange(rows.size)
        hat = self._columns @ self._inverse
        self._leverage = hat.diagonal()
        self._squared_rest = (np.eye(self.count) - hat) ** 2

    @property
    def block(self) -> int:
        """Voxels of a block."""
        per_voxel = 8 * (4 * self.count + 2 * self.size**2)
        return max(BLOCK_BYTES // int(per_voxel), SMALLEST_BLOCK)

    def ordinary(self, signal: FloatArray, sigma: FloatArray | None) -> Coefficients:
        """Solve without weights.

        Parameters
        ----------
        signal
            Signals above 0, (V, N).
        sigma
            Noise of the signals, (V,); None takes it from the residuals, weighted by the fitted signal.
        """
        logs = np.log(signal)
        scaled = logs @ self._inverse.T
        predicted = scaled @ self._columns.T
        peak = self._log_s0(scaled)
        weights, safe = _weights(predicted, peak)
        inverse_weights = 1.0 / weights
        rows, columns = np.triu_indices(self.size)
        spread = inverse_weights @ (self._inverse[rows] * self._inverse[columns]).T
        # The residuals of ordinary least squares are not those that the weights ask for: their expected sum.
        freedom = np.einsum("vn,vn->v", weights @ self._squared_rest, inverse_weights)
        freedom = freedom if self.count > self.size else np.zeros_like(freedom)
        rest = np.sqrt(weights) * (logs - predicted)
        noise = _noise(rest, freedom, None if sigma is None else sigma * np.exp(-peak))
        noise = np.where(safe, noise, np.nan)
        covariance = spread[:, self._place] * noise[:, None, None]
        # The noise of the signals over what squares of weak ones become by it.
        bias = -0.5 * (noise[:, None] / (weights + noise[:, None])) @ self._inverse.T
        none = np.zeros(len(logs), dtype=bool)
        return Coefficients(logs @ self._ordinary.T, self._unscaled(covariance), bias / self._scale, none)

    def weighted(self, signal: FloatArray, sigma: FloatArray | None) -> Coefficients:
        """Solve with the squared signal of the ordinary fit as weights; arguments as of `ordinary`."""
        logs = np.log(signal)
        scaled = logs @ self._inverse.T
        rest = logs - scaled @ self._columns.T
        peak = self._log_s0(scaled)
        weights, safe = _weights(logs - rest, peak)
        inverse, inflation = self._invert(weights, safe)
        poor = ~(inflation < LARGEST_INFLATION)
        step = self._solved(inverse, weights * rest)
        scaled += step
        rest -= step @ self._columns.T
        # A step leaves the rounding of the inverse, which is small but for nearly singular matrices.
        hard = np.flatnonzero(~(inflation < SMALL_INFLATION))
        for _ in range(2 if hard.size else 0):
            step = self._solved(inverse[hard], weights[hard] * rest[hard])
            scaled[hard] += step
            rest[hard] -= step @ self._columns.T
        # Of the signals: where they are weak, residuals of logarithms have another variance.
        if sigma is None:
            logs -= rest
            rest = signal - np.exp(logs, out=logs)
        noise = _noise(rest, np.array(self.count - self.size), sigma) * np.exp(-2.0 * peak)
        noise[poor] = np.nan
        expected = self._spread(inverse)
        expected *= weights
        np.subtract(self._leverage - 0.25, expected, out=expected)
        expected *= weights
        expected /= weights + noise[:, None]
        bias = self._solved(inverse, expected) * (2.0 * noise[:, None])
        covariance = self._unscaled(inverse * noise[:, None, None])
        return Coefficients(scaled / self._scale, covariance, bias / self._scale, poor)

    def nonlinear(
        self,
        signal: FloatArray,
        coefficients: FloatArray,
        kept: npt.NDArray[np.bool_],
        sigma: FloatArray | None,
    ) -> Coefficients:
        """Return coefficients of nonlinear least squares with their asymptotic covariance.

        The curvature of the exponential alone makes their bias (Box 1971).

        Parameters
        ----------
        signal
            Signals, (V, N).
        coefficients
            Where they were fitted, (V, P).
        kept
            Measurements that took part, (V, N).
        sigma
            Noise of the signals, (V,); None takes it from the residuals.
        """
        scaled = coefficients * self._scale
        peak = self._log_s0(scaled)
        weights, safe = _weights(scaled @ self._columns.T, peak)
        # A measurement that was rejected tells nothing.
        told = np.where(kept, weights, 0.0)
        inverse, inflation = self._invert(told, safe)
        rest = np.where(kept, signal - np.exp(coefficients @ self._design.T), 0.0)
        noise = _noise(rest, kept.sum(axis=1) - self.size, sigma) * np.exp(-2.0 * peak)
        poor = ~(inflation < LARGEST_INFLATION)
        noise[poor] = np.nan
        bias = self._solved(inverse, -0.5 * noise[:, None] * told * self._spread(inverse))
        covariance = self._unscaled(inverse * noise[:, None, None])
        return Coefficients(coefficients, covariance, bias / self._scale, poor)

    def _solved(self, inverse: FloatArray, weighted: FloatArray) -> FloatArray:
        """Return the scaled solutions, (V, P), of weighted logarithms, (V, N)."""
        return np.asarray(np.matmul(inverse, (weighted @ self._columns)[:, :, None])[:, :, 0])

    def _spread(self, inverse: FloatArray) -> FloatArray:
        """Return the variances of predicted logarithms, (V, N), by that of a measurement of weight 1."""
        return np.asarray(inverse.reshape(len(inverse), -1)[:, self._upper] @ self._quadratic)

    def _invert(self, weights: FloatArray, safe: npt.NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """Return inverses of normal matrices, (V, P, P), and the largest inflation of a variance, (V,)."""
        elements = self._products.T @ weights.T
        if self.size <= LARGEST_SWEPT:
            inverse = _swept(elements[self._place])
        else:
            inverse = inverted(np.ascontiguousarray(elements.T)[:, self._place])
        diagonal = elements[self._place.diagonal()]
        inflation = np.max(diagonal * np.einsum("vii->iv", inverse), axis=0)
        inflation[~safe] = np.inf
        return inverse, inflation

    def _log_s0(self, scaled: FloatArray) -> FloatArray:
        """Return the logarithm of the signal without weighting, the largest of Gaussian diffusion."""
        return -scaled[:, -1]

    def _unscaled(self, covariance: FloatArray) -> FloatArray:
        covariance /= np.outer(self._scale, self._scale)
        return covariance


def inverted(matrices: FloatArray) -> FloatArray:
    """Return the inverses of symmetric matrices, (V, P, P), without meaning where there is none."""
    try:
        return np.asarray(np.linalg.inv(matrices), dtype=np.float64)
    except np.linalg.LinAlgError:
        # One singular matrix stops numpy's whole batch.
        return _swept(np.ascontiguousarray(matrices.transpose(1, 2, 0)))


def _swept(swept: FloatArray) -> FloatArray:
    """Return the inverses, (V, P, P), of matrices (P, P, V) by sweeping row after row of all, in place."""
    for k in range(len(swept)):
        column = swept[:, k].copy()
        pivot = column[k].copy()
        row = column / pivot
        swept -= column[:, None] * row
        swept[k] = swept[:, k] = row
        swept[k, k] = -1.0 / pivot
    return np.ascontiguousarray(-swept.transpose(2, 0, 1))


def _weights(logs: FloatArray, peak: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return squared signals relative to that of a logarithm `peak`, and where they are moderate, (V,)."""
    weights = np.exp(np.minimum(2.0 * (logs - peak[:, None]), LARGEST_EXPONENT))
    safe = np.ones(len(weights), dtype=bool)
    # The extremes of a block are found faster than those of its rows.
    if not (weights.min() > LEAST_WEIGHT and weights.max() < 1.0 / LEAST_WEIGHT):
        safe = weights.min(axis=1) > LEAST_WEIGHT * weights.max(axis=1)
        weights[~safe] = 1.0
    return weights, safe


def _noise(rest: FloatArray, freedom: FloatArray, sigma: FloatArray | None) -> FloatArray:
    """Return the variance of signals, (V,), of residuals (V, N); NaN where none is left to tell it."""
    if sigma is not None:
        return np.asarray(sigma**2)
    return np.asarray(np.einsum("vn,vn->v", rest, rest) / np.where(freedom > 0, freedom, np.nan))
