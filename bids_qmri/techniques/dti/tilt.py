"""How noise biases what hangs on the first eigenvector: axial and radial diffusivity and kurtosis.

The first eigenvector turns towards noise that raises its eigenvalue. With D_1j the noise of the tensor
between the first eigenvector and another one, the tilt is D_1j over the gap of their eigenvalues; the first
eigenvalue grows by D_1j times the tilt at the cost of the other, and noise of the kurtosis tensor that goes
with D_1j does not average out. All is of second order in the noise; the variance of D_1j counts into squared
gaps, so that a tilt stays bounded where eigenvalues coincide. Voxels run first; called by `model`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_qmri.techniques.dti.kurtosis import slopes_by_tilt, slopes_by_turning
from bids_qmri.techniques.dti.symmetric import PAIR_COUNT, PAIRS, elements_of, pair_rotation, rotate_fourth
from bids_qmri.units import FloatArray

_ROWS, _COLUMNS = np.array(PAIRS).T


@dataclass(frozen=True, eq=False)
class Tilt:
    """The noise between the first eigenvector and the others, of which arrays (V, 2) hold one column each.

    Parameters
    ----------
    vectors
        Eigenvectors as columns, (V, 3, 3).
    shared
        Covariance of D_1j with all elements, (V, 2, E).
    variance
        Variance of D_1j, (V, 2).
    gain
        Tilt by D_1j, (V, 2).
    """

    vectors: FloatArray
    shared: FloatArray
    variance: FloatArray
    gain: FloatArray

    @classmethod
    def of(cls, values: FloatArray, vectors: FloatArray, covariance: FloatArray) -> Tilt:
        """Find the tilt of eigenvectors, (V, 3, 3), with eigenvalues, (V, 3), and covariance (V, E, E)."""
        # Voxels last: many products of few numbers.
        axes = np.ascontiguousarray(vectors.transpose(2, 1, 0))
        first, others = axes[0], axes[1:]
        both = first[_ROWS] * others[:, _COLUMNS] + first[_COLUMNS] * others[:, _ROWS]
        both *= 0.5 * PAIR_COUNT[:, None]
        between = np.ascontiguousarray(both.transpose(2, 0, 1))
        shared = between @ covariance[:, :6]
        variance = np.einsum("vjp,vjp->vj", shared[:, :, :6], between)
        gain = 1.0 / np.sqrt((values[:, :1] - values[:, 1:]) ** 2 + 4.0 * variance)
        return cls(vectors, shared, variance, gain)

    def of_eigenvalues(self) -> FloatArray:
        """Return the bias of the eigenvalues, (V, 3)."""
        raised = self.variance * self.gain
        return np.column_stack([raised.sum(axis=1), -raised])

    def of_tensor(self) -> FloatArray:
        """Return the same as six elements of a tensor with the eigenvectors, (V, 6)."""
        values = self.of_eigenvalues()[:, None]
        return elements_of((self.vectors * values) @ self.vectors.transpose(0, 2, 1))

    def of_kurtosis(self, values: FloatArray, kurtosis: FloatArray) -> FloatArray:
        """Return the bias of AK and RK beside that by the tensor's own, (V, 2).

        Parameters
        ----------
        values
            Eigenvalues, (V, 3).
        kurtosis
            Elements w of the logarithm of the signal, (V, 15).
        """
        rotation = pair_rotation(self.vectors)
        turned = self.variance * self.gain**2
        turning = slopes_by_turning(values, rotate_fourth(kurtosis, rotation))
        bias = np.einsum("vfj,vj->vf", turning, turned)
        for j in range(2):
            noise = rotate_fourth(self.shared[:, j, 6:], rotation)
            bias += slopes_by_tilt(values, noise)[:, :, j] * self.gain[:, j, None]
        return np.asarray(bias)
