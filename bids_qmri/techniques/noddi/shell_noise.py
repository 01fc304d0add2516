"""Noise standard deviation of a multi-shell scan, from what smooth functions of direction leave unexplained.

No model of tissue takes part: on every shell the signal is fitted by a short series of Legendre polynomials
about the fibre direction (`zonal`), which leaves many degrees of freedom. Called by `interfaces` before NODDI
is estimated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.classical.noise import Residuals, magnitude_variance
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.noddi.zonal import (
    COSINE_WEIGHTS,
    LEGENDRE_AT_COSINES,
    RIDGE,
    ShellGroups,
    ZonalFit,
    fit_zonal,
    sort_shells,
)
from bids_qmri.units import FloatArray

DIRECTION = 2
"""Degrees of freedom that the fibre direction takes, found from the same signals."""


def shell_residuals(signal: npt.ArrayLike, protocol: DiffusionProtocol, d_par: float) -> Residuals:
    """Return what smooth functions of direction leave unexplained within shells.

    Magnitudes vary less than the noise of either channel where there is little signal; that is told.

    Parameters
    ----------
    signal
        Measured signals, shape (V, N); unusable voxels are skipped.
    protocol
        Diffusion weightings on shells, with directions.
    d_par
        Diffusivity along fibres in mm^2/s, which weighs the shells when the direction is sought.

    Raises
    ------
    InputError
        If no voxel is usable, or the protocol has no shells, directions or images at b = 0.
    """
    data = np.asarray(signal, dtype=np.float64)
    shells = sort_shells(protocol)
    usable = np.all(np.isfinite(data), axis=1) & (data[:, shells.b0].mean(axis=1) > 0)
    if not usable.any():
        raise InputError("no voxel is finite and above 0 at b = 0", needed="signals to estimate noise from")
    zonal = fit_zonal(data[usable], shells, d_par)
    by_group = _freedom(zonal, shells)

    def shrink(sigma: float) -> FloatArray:
        return np.asarray(np.average(_variance(zonal, sigma), axis=0, weights=by_group))

    freedom = np.maximum(by_group.sum(axis=0) - DIRECTION, 1.0)
    return Residuals(zonal.misfit * zonal.s0**2, freedom, shrink, np.flatnonzero(usable))


def shell_sigma(signal: npt.ArrayLike, protocol: DiffusionProtocol, d_par: float) -> float:
    """Estimate the noise of a single image from residuals within shells, pooled over voxels.

    Arguments and errors as of `shell_residuals`. Voxels that vary more than noise makes them (motion,
    crossings at high signal-to-noise ratio) are left out.
    """
    return shell_residuals(signal, protocol, d_par).sigma()


def _freedom(zonal: ZonalFit, shells: ShellGroups) -> FloatArray:
    """Return the expected squared residual of b = 0 and of each shell for noise of 1, (S + 1, V)."""
    left_open = RIDGE[:, None] * zonal.precision**2
    of_shells = shells.counts[:, None] - 4.0 + np.sum(left_open**2, axis=1)
    return np.vstack([np.full(zonal.s0.shape, len(shells.b0) - 1.0), of_shells])


def _variance(zonal: ZonalFit, sigma: float) -> FloatArray:
    """Return the variance of magnitudes at b = 0 and, over all directions, on each shell, (S + 1, V)."""
    relative = zonal.s0 / sigma
    signal = np.einsum("kc,skv->csv", LEGENDRE_AT_COSINES, zonal.coefficients) * relative
    of_shells = np.einsum("c,csv->sv", COSINE_WEIGHTS, magnitude_variance(signal))
    return np.vstack([magnitude_variance(relative), of_shells])
