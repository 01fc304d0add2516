"""Scalars of the diffusion tensor and the anisotropy of the kurtosis tensor, with their derivatives.

Diffusivities in mm^2/s. Voxels run first. Called by `model`.
"""

from __future__ import annotations

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


def kurtosis_anisotropy_without_noise(kurtosis: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return the anisotropy of kurtosis tensors without what their noise adds to it, (V,).

    Parameters
    ----------
    kurtosis
        Elements of the tensor in any scale, (V, 15).
    covariance
        Their covariance, (V, 15, 15).

    Notes
    -----
    Both squares, that of the whole and that of its isotropic part, are expected to exceed their true values
    by the variances of what is squared.
    """
    squares = np.einsum("ve,e,ve->v", kurtosis, ELEMENT_COUNT, kurtosis)
    squares -= np.einsum("vee,e->v", covariance, ELEMENT_COUNT)
    isotropic = (kurtosis @ _TRACES) ** 2 - np.einsum("vef,e,f->v", covariance, _TRACES, _TRACES)
    isotropic = np.maximum(isotropic, 0.0) / 5.0
    share = np.where(squares > isotropic, 1.0 - isotropic / np.where(squares > 0, squares, np.inf), 0.0)
    return np.asarray(np.sqrt(share))
