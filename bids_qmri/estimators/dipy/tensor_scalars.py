"""dipy's numbers of a fitted tensor: its parameters from coefficients, and the scalars that become maps.

dipy keeps eigenvalues (3), eigenvectors by rows of the matrix whose columns they are (9) and, for kurtosis, the 15
elements of the kurtosis tensor W, one row per voxel. Diffusivities in mm^2/s. Called by `tensor`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bids_qmri.units import FloatArray

LIMITS = {"min_kurtosis": -3.0 / 7.0, "max_kurtosis": 10.0}
"""Where dipy's fits clip kurtosis."""


def params_of(coefficients: FloatArray, floor: float) -> FloatArray:
    """Return dipy's parameters, (V, 12) or (V, 27).

    Parameters
    ----------
    coefficients
        Those of the logarithm of the signal, S0 last, (V, 7) or (V, 22).
    floor
        Smallest eigenvalue in mm^2/s, to which smaller ones are raised.
    """
    from dipy.reconst.dti import decompose_tensor, from_lower_triangular

    finite = np.isfinite(coefficients).all(axis=1)
    solved = np.where(finite[:, None], coefficients, 0.0)
    values, vectors = decompose_tensor(from_lower_triangular(solved[:, :6]), min_diffusivity=floor)
    kurtosis = solved[:, 6:-1] / values.mean(axis=1, keepdims=True) ** 2
    params = np.concatenate([values, vectors.reshape(-1, 9), kurtosis], axis=1)
    params[~finite] = np.nan
    return params


def elements_of(params: FloatArray) -> FloatArray:
    """Return what the logarithm of the signal is linear in, (V, 6) or (V, 21)."""
    from dipy.reconst.dti import lower_triangular

    values, vectors = params[:, :3], params[:, 3:12].reshape(-1, 3, 3)
    tensor = (vectors * values[:, None, :]) @ vectors.transpose(0, 2, 1)
    kurtosis = params[:, 12:] * values.mean(axis=1, keepdims=True) ** 2
    return np.concatenate([lower_triangular(tensor), kurtosis], axis=1)


def scalars(params: FloatArray, names: tuple[str, ...]) -> dict[str, FloatArray]:
    """Return the maps of the given names, each (V,), by dipy's array functions."""
    from dipy.reconst import dki, dti

    of_tensor: Mapping[str, Callable[[FloatArray], FloatArray]] = {
        "fa": dti.fractional_anisotropy,
        "md": dti.mean_diffusivity,
        "ad": dti.axial_diffusivity,
        "rd": dti.radial_diffusivity,
    }
    of_kurtosis: Mapping[str, Callable[[FloatArray], FloatArray]] = {
        "mk": lambda both: dki.mean_kurtosis(both, **LIMITS),
        "ak": lambda both: dki.axial_kurtosis(both, **LIMITS),
        "rk": lambda both: dki.radial_kurtosis(both, **LIMITS),
        "kfa": dki.kurtosis_fractional_anisotropy,
    }
    return {
        name: np.asarray(of_tensor[name](params[:, :3]) if name in of_tensor else of_kurtosis[name](params))
        for name in names
    }
