"""Noise standard deviation of a multi-shell scan, from what smooth functions of direction leave unexplained.

No model of tissue takes part: on every shell the signal is fitted by a short series of Legendre polynomials
about the fibre direction (`zonal`), which leaves many degrees of freedom. Called by `interfaces` before NODDI
is estimated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.noise import CORRECTIONS, magnitude_variance, pooled_variance
from bids_qmri.estimators.zonal import fit_zonal, sort_shells
from bids_qmri.protocol import DiffusionProtocol

DIRECTION = 2
"""Degrees of freedom that the fibre direction takes, found from the same signals."""


def shell_sigma(signal: npt.ArrayLike, protocol: DiffusionProtocol, d_par: float) -> float:
    """Estimate the noise of a single image from residuals within shells, pooled over voxels.

    Voxels that vary more than noise makes them (motion, crossings at high SNR) are left out. Magnitudes vary
    less than the noise of either channel where there is little signal; that is corrected.

    Parameters
    ----------
    signal
        Measured signals, shape (V, N); unusable voxels are skipped.
    protocol
        Diffusion weightings on shells, with directions.
    d_par
        Diffusivity along fibres in mm^2/s, which weighs the shells when the direction is sought.

    Returns
    -------
    float
        In the unit of the signal.

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
    cost = zonal.misfit * zonal.s0**2
    freedom = np.maximum(zonal.freedom - DIRECTION, 1.0)
    mean = np.vstack([np.ones_like(zonal.s0), zonal.coefficients[:, 0]]) * zonal.s0
    counts = np.array([len(shells.b0), *shells.counts])
    sigma = np.sqrt(pooled_variance(cost, freedom))
    for _ in range(CORRECTIONS if sigma > 0 else 0):
        shrunk = np.average(magnitude_variance(mean / sigma), axis=0, weights=counts)
        sigma = np.sqrt(pooled_variance(cost / shrunk, freedom))
    return float(sigma)
