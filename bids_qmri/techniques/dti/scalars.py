"""Scalars of the diffusion tensor and the anisotropy of the kurtosis tensor, with their derivatives.

Diffusivities in mm^2/s. Voxels run first. Called by `model`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_qmri.techniques.dti.symmetric import ELEMENT_COUNT, PAIR_COUNT
from bids_qmri.units import FloatArray

_IDENTITY = np.array([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])
_TRACES = np.array([1.0] * 3 + [0.0] * 6 + [2.0] * 3 + [0.0] * 3)
"""Elements of fourth order in the full contraction W_iijj."""

_ROWS, _COLUMNS = (0, 0, 1, 0, 1, 2), (0, 1, 1, 2, 2, 2)


def tensor_slopes(
    elements: FloatArray, values: FloatArray, vectors: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return fractional anisotropy, mean, axial and radial diffusivity with their derivatives.

    Parameters
    ----------
    elements
        xx, xy, yy, xz, yz, zz of the tensor, (V, 6).
    values, vectors
        Its eigenvalues, largest first, (V, 3), and eigenvectors as columns, (V, 3, 3).

    Returns
    -------
    scalars
        FA, MD, AD, RD, (V, 4).
    slopes
        Derivatives by the elements, (V, 4, 6); NaN for FA where all eigenvalues are equal, and for AD and RD
        where the largest two are.
    """
    trace = values.sum(axis=1)
    squares = np.einsum("vk,vk->v", values, values)
    fa = np.sqrt(np.maximum(1.5 - 0.5 * trace**2 / squares, 0.0))
    along = vectors[:, _ROWS, 0] * vectors[:, _COLUMNS, 0] * PAIR_COUNT
    along[values[:, 0] == values[:, 1]] = np.nan
    slopes = np.empty((len(values), 4, 6))
    ratio = (trace / squares)[:, None]
    spread = 0.5 * ratio * (ratio * elements * PAIR_COUNT - _IDENTITY)
    np.divide(spread, fa[:, None], out=slopes[:, 0], where=fa[:, None] > 0)
    slopes[~(fa > 0), 0] = np.nan
    slopes[:, 1], slopes[:, 2], slopes[:, 3] = _IDENTITY / 3.0, along, 0.5 * (_IDENTITY - along)
    scalars = np.stack([fa, trace / 3.0, values[:, 0], 0.5 * (values[:, 1] + values[:, 2])], axis=1)
    return scalars, slopes


def kurtosis_anisotropy_slope(kurtosis: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the anisotropy of kurtosis tensors, (V,), and its derivatives, (V, 15).

    It is the share of the norm of the tensor that its isotropic part lacks, 0 where the mean is not positive;
    there, and where it is 0, the derivatives are NaN.

    Parameters
    ----------
    kurtosis
        Elements of the tensor in any scale, (V, 15).

    References
    ----------
    Glenn et al. 2015, doi:10.1002/nbm.3271.
    """
    weighted = kurtosis * ELEMENT_COUNT
    squares = np.einsum("ve,ve->v", kurtosis, weighted)
    mean = kurtosis @ _TRACES / 5.0
    ratio = mean / np.where(squares > 0, squares, np.nan)
    kfa = np.sqrt(np.maximum(1.0 - 5.0 * mean * ratio, 0.0))
    known = (mean > 0) & (kfa > 0)
    slope = ratio[:, None] * (5.0 * ratio[:, None] * weighted - _TRACES)
    slope = np.where(known[:, None], slope / np.where(known, kfa, 1.0)[:, None], np.nan)
    return np.where(mean > 0, kfa, 0.0), slope


@dataclass(frozen=True, eq=False)
class Anisotropy:
    """The root of the share of the squared norm of a tensor that its isotropic part lacks.

    Parameters
    ----------
    count
        How often each element occurs in the full tensor, (E,).
    traces
        Elements in the full contraction, (E,).
    rank
        Squared norm of the isotropic tensor whose contraction is `rank`.
    scale
        Square of the anisotropy where the isotropic part lacks all of it.
    """

    count: FloatArray
    traces: FloatArray
    rank: float
    scale: float = 1.0

    def without_noise(self, elements: FloatArray, covariance: FloatArray) -> FloatArray:
        """Return the square of the anisotropy, (V,), without what noise adds; NaN if the mean is noise.

        Notes
        -----
        Both squares, that of the whole and that of its isotropic part, are expected to exceed their true
        values by the variances of what is squared.
        """
        squares, isotropic = self._squares(elements, covariance)
        share = np.where(squares > isotropic, 1.0 - isotropic / np.where(squares > 0, squares, np.inf), 0.0)
        return np.asarray(np.where(isotropic > 0, self.scale * share, np.nan))

    def deviation(
        self, found: FloatArray, elements: FloatArray, covariance: FloatArray, bias: FloatArray
    ) -> FloatArray:
        """Return standard deviations of the anisotropy, (V,); NaN where the mean is noise.

        Parameters
        ----------
        found
            The anisotropy of the elements, (V,).
        elements, covariance, bias
            Elements of the tensor in any scale, (V, E), their covariance, (V, E, E), and their bias, (V, E).

        Notes
        -----
        Noise raises the anisotropy, and its root scatters the more the lower it is. The square without noise
        has a deviation, to which noise of the elements adds twice: as they scatter, and in the slopes. Half
        the distance of the roots at both its ends is the scatter of the anisotropy, and what noise has added
        to it is its bias.
        """
        squares, isotropic = self._squares(elements, covariance)
        clean = self.without_noise(elements, covariance)
        whole = np.maximum(squares, isotropic)
        # The square of the anisotropy as a quadratic form of the elements.
        form = (isotropic / whole)[:, None, None] * np.diag(self.count)
        form -= np.outer(self.traces, self.traces) / self.rank
        form *= (self.scale / whole)[:, None, None]
        slope = 2.0 * np.einsum("vef,vf->ve", form, elements)
        spread = covariance @ form
        own = 2.0 * np.einsum("vef,vfe->v", spread, spread)
        first = np.einsum("ve,vef,vf->v", slope, covariance, slope) - 2.0 * own
        scatter = np.sqrt(np.maximum(first, 0.0) + own + np.einsum("ve,ve->v", slope, bias) ** 2)
        ends = np.sqrt(np.minimum(clean + scatter, 1.0)) - np.sqrt(np.maximum(clean - scatter, 0.0))
        return np.asarray(np.hypot(0.5 * ends, found - np.sqrt(clean)))

    def _squares(self, elements: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
        squares = elements**2 @ self.count - np.einsum("vee->ve", covariance) @ self.count
        isotropic = (elements @ self.traces) ** 2 - (covariance @ self.traces) @ self.traces
        return squares, isotropic / self.rank


FRACTIONAL = Anisotropy(PAIR_COUNT, _IDENTITY, 3.0, 1.5)
"""Of the diffusion tensor."""

OF_KURTOSIS = Anisotropy(ELEMENT_COUNT, _TRACES, 5.0)
"""Of the kurtosis tensor."""
