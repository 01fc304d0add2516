"""dipy's numbers of a fitted tensor: its parameters from coefficients, and the scalars that become maps.

dipy keeps eigenvalues (3), eigenvectors as columns of a matrix (9) and, for kurtosis, the 15 elements of the
kurtosis tensor W, one row per voxel. Diffusivities in mm^2/s. What is a line of algebra is written out,
because dipy's functions check how they are called at 50 us a call; tests hold both equal. Called by `tensor`.
"""

from __future__ import annotations

import numpy as np

from bids_qmri.estimators.dipy.eigen import eigensystem
from bids_qmri.estimators.dipy.kurtosis_scalars import kurtosis_scalars
from bids_qmri.units import FloatArray

_ROWS, _COLUMNS = (0, 1, 1, 2, 2, 2), (0, 0, 1, 0, 1, 2)

# The elements of W stand as xxxx to zzzz, six like xxxy, three like xxyy, three like xxyz.
_COUNT = np.repeat([1.0, 4.0, 6.0, 12.0], [3, 6, 3, 3])
_ISOTROPIC = np.repeat([1.0, 0.0, 1.0 / 3.0, 0.0], [3, 6, 3, 3])
_TRACES = np.repeat([1.0, 0.0, 2.0, 0.0], [3, 6, 3, 3])

LEAST_MEAN = 1e-8
"""Of the kurtosis tensor: below it dipy calls the anisotropy 0."""


def params_of(coefficients: FloatArray, floor: float) -> tuple[FloatArray, FloatArray]:
    """Return dipy's parameters, (V, 12) or (V, 27), and the elements of their tensors, (V, 6) or (V, 21).

    Parameters
    ----------
    coefficients
        Those of the logarithm of the signal, S0 last, (V, 7) or (V, 22).
    floor
        Smallest eigenvalue in mm^2/s, to which smaller ones are raised.
    """
    params = np.empty((len(coefficients), coefficients.shape[1] + 5))
    finite = np.isfinite(coefficients @ np.ones(coefficients.shape[1]))
    solved = coefficients if finite.all() else np.where(finite[:, None], coefficients, 0.0)
    values, vectors = eigensystem(solved[:, :6])
    np.maximum(values, floor, out=params[:, :3])
    params[:, 3:12] = vectors.reshape(-1, 9)
    if coefficients.shape[1] > 7:
        mean = params[:, :3].mean(axis=1, keepdims=True)
        np.divide(solved[:, 6:-1], mean**2, out=params[:, 12:])
    params[~finite] = np.nan
    elements = coefficients[:, :-1].copy()
    raised = params[:, 2] <= floor
    elements[raised] = elements_of(params[raised])
    return params, elements


def elements_of(params: FloatArray) -> FloatArray:
    """Return what the logarithm of the signal is linear in, (V, 6) or (V, 21)."""
    values, vectors = params[:, :3], params[:, 3:12].reshape(-1, 3, 3)
    tensor = (vectors * values[:, None, :]) @ vectors.transpose(0, 2, 1)
    lower = tensor[:, _ROWS, _COLUMNS]
    if params.shape[1] == 12:
        return np.asarray(lower)
    return np.concatenate([lower, params[:, 12:] * values.mean(axis=1, keepdims=True) ** 2], axis=1)


def scalars(params: FloatArray) -> dict[str, FloatArray]:
    """Return all maps that dipy has of the parameters, each (V,), by the names of the models."""
    first, second, third = params[:, :3].T
    squares = first**2 + second**2 + third**2
    spread = (first - second) ** 2 + (second - third) ** 2 + (third - first) ** 2
    maps = {
        "fa": np.sqrt(0.5 * spread / (squares + (squares == 0))),
        "md": (first + second + third) / 3.0,
        "ad": first,
        "rd": (second + third) / 2.0,
    }
    if params.shape[1] > 12:
        maps["mk"], maps["ak"], maps["rk"] = kurtosis_scalars(params)
        maps["kfa"] = _kurtosis_anisotropy(params[:, 12:])
    return maps


def _kurtosis_anisotropy(kurtosis: FloatArray) -> FloatArray:
    """Return the fractional anisotropy, (V,), of elements of W, (V, 15); 0 where their mean is not above 0.

    Glenn et al. 2015, doi:10.1002/nbm.3271.
    """
    mean = kurtosis @ _TRACES / 5.0
    anisotropic = (kurtosis - mean[:, None] * _ISOTROPIC) ** 2 @ _COUNT
    squares = kurtosis**2 @ _COUNT
    known = (squares > 0) & (mean > LEAST_MEAN)
    return np.where(known, np.sqrt(anisotropic / np.where(known, squares, 1.0)), 0.0)
