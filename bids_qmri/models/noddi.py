"""Neurite orientation dispersion and density imaging (NODDI): sticks, hindered tissue water, free water.

S / S0 = (1 - FWF) [NDI A_ic + (1 - NDI) A_ec] + FWF exp(-b d_iso) of Zhang et al. 2012,
doi:10.1016/j.neuroimage.2012.03.072. A_ic is the signal of sticks with Watson-distributed directions. A_ec is
that of ONE tensor, the average of those around every stick; its perpendicular diffusivity d_par (1 - NDI) is
tortuous. b in s/mm^2, diffusivities in mm^2/s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.models.watson import DEGREES, stick_moments, watson_moments
from bids_qmri.protocol import DiffusionProtocol
from bids_qmri.units import FloatArray

D_PAR, D_ISO = 1.7e-3, 3.0e-3
"""Diffusivities in vivo at 37 degrees C, mm^2/s: along neurites, and of free water."""

BLOCK_VALUES = 2**16
"""Signal values that `noddi_signal` computes at a time: they stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Shells:
    """A protocol as the model needs it: measurements in the order of b, with what depends on b alone.

    Measurements share a shell if their b-values are equal; nothing is rounded.

    Parameters
    ----------
    order
        Place in the protocol of every measurement, shape (N,).
    gradients
        Gradient directions in that order, shape (N, 3).
    rows
        The measurements of each shell.
    attenuation
        b d_par of each shell, shape (S,).
    free_water
        exp(-b d_iso) of each shell, shape (S,).
    sticks
        What takes the moments p_l of the distribution to the coefficients of A_ic in powers of the squared
        cosine between gradient and axis, shape (S, 8, 8).
    """

    order: npt.NDArray[np.intp]
    gradients: FloatArray
    rows: tuple[slice, ...]
    attenuation: FloatArray
    free_water: FloatArray
    sticks: FloatArray


def shells_of(protocol: DiffusionProtocol, d_par: float, d_iso: float) -> Shells:
    """Sort a protocol by b and precompute what depends on b alone.

    Raises
    ------
    InputError
        If the protocol has no gradient directions.
    """
    if protocol.bvecs is None:
        raise InputError("gradient directions are not known", field="bvecs", needed="one per b-value")
    order = np.argsort(protocol.bvals, kind="stable")
    bvals, first = np.unique(protocol.bvals[order], return_index=True)
    ends = (*first[1:], order.size)
    moments = (2 * DEGREES + 1)[:, None] * stick_moments(bvals * d_par)
    return Shells(
        order,
        protocol.bvecs[order],
        tuple(slice(int(a), int(b)) for a, b in zip(first, ends, strict=True)),
        bvals * d_par,
        np.exp(-bvals * d_iso),
        moments.T[:, None, :] * _POWERS,
    )


def _powers_of_legendre() -> FloatArray:
    """Return the coefficient of u^j in P_l(sqrt(u)), shape (8, 8) over j and l."""
    rows = [np.polynomial.legendre.leg2poly(np.eye(int(DEGREES[-1]) + 1)[degree]) for degree in DEGREES]
    table = np.zeros((DEGREES.size, DEGREES.size))
    for column, row in enumerate(rows):
        table[: column + 1, column] = row[::2]
    return table


_POWERS = _powers_of_legendre()


def noddi_signal(
    ndi: FloatArray,
    odi: FloatArray,
    fwf: FloatArray,
    direction: FloatArray,
    protocol: DiffusionProtocol,
    *,
    d_par: float = D_PAR,
    d_iso: float = D_ISO,
) -> FloatArray:
    """Return the noise-free signal divided by that without diffusion weighting.

    Parameters
    ----------
    ndi, odi, fwf
        Neurite density index, orientation dispersion index and free-water fraction, 0 to 1, shape (V,).
    direction
        Unit vectors along the mean neurite direction, in the axes of the gradients, shape (V, 3).
    protocol
        Diffusion weightings with directions.
    d_par, d_iso
        Diffusivities along neurites and of free water, mm^2/s.

    Returns
    -------
    S / S0, shape (N, V), in the order of the protocol.

    Raises
    ------
    InputError
        If the protocol has no gradient directions.
    """
    shells = shells_of(protocol, d_par, d_iso)
    signal = np.empty((protocol.n_measurements, len(direction)))
    size = max(BLOCK_VALUES // protocol.n_measurements, 64)
    for first in range(0, len(direction), size):
        part = slice(first, first + size)
        block = evaluate(shells, ndi[part], odi[part], fwf[part], direction[part].T)
        signal[shells.order, part] = block
    return signal


def evaluate(
    shells: Shells, ndi: FloatArray, odi: FloatArray, fwf: FloatArray, direction: FloatArray
) -> FloatArray:
    """Return S / S0, shape (N, V), in the order of `shells`; `direction` has shape (3, V)."""
    moments, _ = watson_moments(odi)
    signal = shells.gradients @ direction
    mean, anisotropy = (2.0 + moments[1]) / 3.0, moments[1]
    np.square(signal, out=signal)
    for s, rows in enumerate(shells.rows):
        square, x = signal[rows], shells.attenuation[s]
        sticks = _horner(shells.sticks[s] @ moments, square)
        sticks *= ndi
        # The exponent is x (NDI h - 1), with 1 - NDI h the diffusivity of the tensor along the gradient.
        square *= -x * ndi * anisotropy
        square += x * (ndi * mean - 1.0)
        np.exp(square, out=square)
        square *= 1.0 - ndi
        square += sticks
        square *= 1.0 - fwf
        square += fwf * shells.free_water[s]
    return signal


def _horner(coefficients: FloatArray, square: FloatArray) -> FloatArray:
    """Evaluate polynomials, coefficients (8, V), at `square`, (N, V)."""
    value = coefficients[-1] * square
    for c in coefficients[-2:0:-1]:
        value += c
        value *= square
    value += coefficients[0]
    return value
