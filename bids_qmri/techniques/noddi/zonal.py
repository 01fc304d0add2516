"""What the network for any shells sees of a voxel: how signals depend on the direction of its fibres.

The signal of a shell is fitted by Legendre polynomials of even degree up to 6 in the cosine between gradient
and fibre. These zonal coefficients do not change when head and gradients turn together and do not depend on
the number or order of the directions; with the b-value and the precision that the directions of the shell
allow they are one point of a path over the shells, which begins without diffusion weighting. The fit is
linear, and so fast that no block of voxels is worth keeping. Precisions and b-values are entries of the path
of every voxel: a scheme that differs from voxel to voxel would change this file alone.

Called by `ncde` and by `training` alike, so that a network is given what it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import VoxelNoise, rician_moments
from bids_qmri.physics.shells import cluster_shells
from bids_qmri.techniques.noddi.fibre_direction import form_weights, least_axis
from bids_qmri.units import FloatArray

Float32Array = npt.NDArray[np.float32]

CHANNELS = (
    *("b", "a0", "a2", "a4", "a6", "log_a0", "free_a0", "free_a2"),
    *("noise_a0", "open_a2", "open_a4", "open_a6"),
)
"""Names of the C channels of the path: b-value times diffusivity over the nominal one, in ms/um^2; the
coefficients of degree 0 to 6 (the higher ones times 2, 5, 15); half the logarithm of the first; the first two
without the bias of magnitudes; 20 times the standard deviation of the first that noise makes; the shares of
the ridge in the others, 1 where the directions of the shell say nothing about them."""

QUANTITIES = ("ndi", "odi", "fwf")
"""What the network estimates, all from 0 to 1."""

CONTEXT = (
    *("log_sigma", "sigma_unknown", "log_floor", "log_residual", "b0_noise", "d_ratio", "count"),
    *(f"{kind}_{q}" for kind in ("prior_mean", "prior_log_sd") for q in QUANTITIES),
)
"""Names of the Q entries of the context: logarithm of the noise, whether it is not known, logarithms of its
floor over it and of the residual of the zonal fits, what b = 0 images, diffusivities and all images amount
to, and where the quantities are expected."""

RIDGE = np.array([1e-6, 0.06, 0.3, 2.0])
"""Ridge on the coefficients, in units of one measurement."""

LEGENDRE = np.array(
    [[1.0, 0, 0, 0], [-0.5, 1.5, 0, 0], [0.375, -3.75, 4.375, 0], [-0.3125, 6.5625, -19.6875, 14.4375]]
)
"""Legendre polynomials of degree 0, 2, 4, 6 as polynomials of the squared cosine."""

COSINES, COSINE_WEIGHTS = (np.polynomial.legendre.leggauss(5) + np.array([[1.0], [0.0]])) / 2.0
"""Angles at which the bias of magnitudes is taken off, and their weights in a mean over directions."""

LEGENDRE_AT_COSINES = np.array([np.polyval(row[::-1], COSINES**2) for row in LEGENDRE])
"""(4, 5)."""

FLOOR_END = 8.0
"""Signal-to-noise ratio of a magnitude above which its bias has a closed form to 1e-3."""

FLOOR_POINTS = 4097

NOMINAL_D_PAR = 1.7e-3
"""mm^2/s, in vivo."""

NOMINAL_RATIO = 1.765
"""Diffusivity of free water over that along the fibres, in vivo."""

LEAST_SIGNAL = 1e-3
"""Least coefficient of degree 0, in units of the signal at b = 0, of which a logarithm is taken."""

PAIRS = [(i, j) for i in range(4) for j in range(i + 1)]


def _products() -> FloatArray:
    """Return the products of two Legendre polynomials as polynomials of the squared cosine, (10, 7)."""
    return np.array([np.convolve(LEGENDRE[i], LEGENDRE[j]) for i, j in PAIRS])


PRODUCTS = _products()


@dataclass(frozen=True)
class ShellGroups:
    """A multi-shell protocol sorted into shells.

    Parameters
    ----------
    b0
        Measurements at b = 0.
    members
        Measurements of each shell, in order of increasing b.
    bvals
        b-value of each shell in s/mm^2, (S,).
    directions
        Unit gradient directions of all measurements, (N, 3).
    """

    b0: npt.NDArray[np.intp]
    members: tuple[npt.NDArray[np.intp], ...]
    bvals: FloatArray
    directions: FloatArray

    @property
    def counts(self) -> npt.NDArray[np.intp]:
        """Directions of each shell, (S,)."""
        return np.array([len(m) for m in self.members])


def sort_shells(protocol: DiffusionProtocol) -> ShellGroups:
    """Sort a protocol into shells.

    Raises
    ------
    InputError
        If it has no directions, no image at b = 0, or no shells.
    """
    weighted = np.flatnonzero(~protocol.b0_mask)
    centres, index = cluster_shells(protocol.bvals[weighted])
    for missing, seen in (
        (protocol.bvecs is None, "gradient directions are not known"),
        (weighted.size == protocol.n_measurements, "there is no image at b = 0"),
        (centres.size == 0, "b-values form no shells"),
    ):
        if missing:
            raise InputError(
                seen,
                field="bvals" if protocol.bvecs is not None else "bvecs",
                needed="images at b = 0 and on shells, with their directions",
                fix="leave noddi out",
            )
    assert protocol.bvecs is not None
    members = tuple(weighted[index == s] for s in range(centres.size))
    return ShellGroups(np.flatnonzero(protocol.b0_mask), members, centres, protocol.bvecs)


@dataclass(frozen=True)
class ZonalFit:
    """Zonal coefficients of V voxels on S shells; signals in units of the mean at b = 0.

    Parameters
    ----------
    s0
        Mean signal at b = 0 in the unit of the signal, (V,).
    direction
        Fibre direction in the frame of the gradients, (3, V).
    coefficients
        Of degree 0, 2, 4, 6, (S, 4, V).
    precision
        Standard deviation of the coefficients for noise of 1, (S, 4, V).
    misfit
        Sum of squared residuals of all shells and of the images at b = 0, (V,).
    freedom
        Degrees of freedom of `misfit`, (V,).
    """

    s0: FloatArray
    direction: FloatArray
    coefficients: FloatArray
    precision: FloatArray
    misfit: FloatArray
    freedom: FloatArray

    @property
    def noise(self) -> FloatArray:
        """Noise that the residuals amount to, (V,)."""
        return np.sqrt(self.misfit / self.freedom)


def fit_zonal(signal: FloatArray, shells: ShellGroups, d_par: float) -> ZonalFit:
    """Fit the zonal coefficients of every shell about the fibre direction of every voxel.

    Parameters
    ----------
    signal
        Measured signals, (V, N); the mean at b = 0 is positive.
    shells
        The N measurements.
    d_par
        Diffusivity along the fibres in mm^2/s, which weighs the shells against each other.
    """
    s0 = signal[:, shells.b0].mean(axis=1)
    relative = np.ascontiguousarray(signal.T) / s0
    form = form_weights(shells.directions, shells.members, shells.bvals, d_par)
    direction = least_axis(form @ relative)
    misfit = np.sum((relative[shells.b0] - 1.0) ** 2, axis=0)
    freedom = np.full(s0.size, len(shells.b0) - 1.0)
    coefficients = np.empty((len(shells.members), 4, s0.size))
    precision = np.empty_like(coefficients)
    for s, members in enumerate(shells.members):
        cosine = shells.directions[members] @ direction
        normal, right, energy = _normal_equations(cosine, relative[members])
        coefficients[s], precision[s] = _solve(normal, right)
        explained = np.einsum("kv,kv->v", coefficients[s], right + RIDGE[:, None] * coefficients[s])
        misfit += np.maximum(energy - explained, 0.0)
        freedom += len(members) - 4 + RIDGE @ precision[s] ** 2
    return ZonalFit(s0, direction, coefficients, precision, misfit, np.maximum(freedom, 1.0))


def _normal_equations(cosine: FloatArray, signal: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return matrix (10, V), right side (4, V) and squared signal (V,) of the fit of one shell."""
    x = cosine * cosine
    xx = x * x
    xxx = xx * x
    count = np.full(x.shape[1], float(len(x)))
    sums = [count, x.sum(axis=0), xx.sum(axis=0), xxx.sum(axis=0)]
    sums += [np.einsum("nv,nv->v", a, b) for a, b in ((xx, xx), (xx, xxx), (xxx, xxx))]
    right = [signal.sum(axis=0), *(np.einsum("nv,nv->v", signal, power) for power in (x, xx, xxx))]
    return PRODUCTS @ np.stack(sums), LEGENDRE @ np.stack(right), np.einsum("nv,nv->v", signal, signal)


def _solve(normal: FloatArray, right: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Solve 4 x 4 normal equations with the ridge by Cholesky's decomposition, all voxels at once.

    Returns solution and square root of the diagonal of the inverse, each (4, V).
    """
    lower: dict[tuple[int, int], FloatArray] = {}
    inverse: dict[tuple[int, int], FloatArray] = {}
    for (i, j), element in zip(PAIRS, normal, strict=True):
        rest = element - sum((lower[i, k] * lower[j, k] for k in range(j)), start=np.zeros(1))
        if i == j:
            lower[i, i] = np.sqrt(rest + RIDGE[i])
            inverse[i, i] = 1.0 / lower[i, i]
        else:
            lower[i, j] = rest * inverse[j, j]
    for i, j in PAIRS:
        if i != j:
            total = sum((lower[i, k] * inverse[k, j] for k in range(j, i)), start=np.zeros(1))
            inverse[i, j] = -total * inverse[i, i]
    half = [sum((inverse[i, k] * right[k] for k in range(i + 1)), start=np.zeros(1)) for i in range(4)]
    solution = [sum((inverse[k, i] * half[k] for k in range(i, 4)), start=np.zeros(1)) for i in range(4)]
    squares = [sum((inverse[k, i] ** 2 for k in range(i, 4)), start=np.zeros(1)) for i in range(4)]
    return np.stack(solution), np.sqrt(np.stack(squares))


def without_bias(magnitude: FloatArray) -> FloatArray:
    """Return the signals whose magnitudes have given means, in units of the noise; 0 below its floor."""
    table = _floor_table()
    position = np.clip(magnitude, 0.0, FLOOR_END) * ((FLOOR_POINTS - 1) / FLOOR_END)
    index = np.minimum(position.astype(np.intp), FLOOR_POINTS - 2)
    below = table[index]
    inside = below + (position - index) * (table[index + 1] - below)
    return np.where(magnitude < FLOOR_END, inside, np.sqrt(np.maximum(magnitude**2 - 1.0, 0.0)))


@lru_cache(maxsize=1)
def _floor_table() -> FloatArray:
    """Return the signals of evenly spaced mean magnitudes from 0 to `FLOOR_END`."""
    signal = np.linspace(0.0, FLOOR_END + 1.0, 20_001)
    return np.interp(np.linspace(0.0, FLOOR_END, FLOOR_POINTS), rician_moments(signal)[0], signal)


def _free_coefficients(coefficients: FloatArray, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the first two coefficients, (V,), of the signals under magnitudes of coefficients (4, V)."""
    signal = sigma * without_bias((LEGENDRE_AT_COSINES.T @ coefficients) / sigma)
    return COSINE_WEIGHTS @ signal, 5.0 * (COSINE_WEIGHTS * LEGENDRE_AT_COSINES[1]) @ signal


def network_inputs(
    zonal: ZonalFit,
    shells: ShellGroups,
    noise: VoxelNoise,
    diffusivities: tuple[float, float],
    expected: tuple[FloatArray, FloatArray],
) -> tuple[Float32Array, Float32Array]:
    """Return path (V, S + 1, C) and context (V, Q) of voxels.

    Parameters
    ----------
    zonal
        Fit of the voxels.
    shells
        Of the protocol.
    noise
        In units of the signal at b = 0; NaN where it is not known, which takes the residual.
    diffusivities
        Along the fibres and of free water in mm^2/s.
    expected
        Mean and standard deviation of the prior of the quantities, each (3,).
    """
    count = zonal.s0.size
    d_par, d_iso = diffusivities
    unknown = np.isnan(noise.scatter)
    residual = np.maximum(zonal.noise, LEAST_SIGNAL)
    told = np.maximum(np.where(unknown, residual, noise.scatter), LEAST_SIGNAL)
    floor = np.maximum(np.where(unknown, residual, noise.floor), LEAST_SIGNAL)
    path = np.zeros((count, len(shells.members) + 1, len(CHANNELS)), dtype=np.float32)
    path[:, 0, 1] = 1.0
    for s, bval in enumerate(shells.bvals):
        a, u = zonal.coefficients[s], zonal.precision[s]
        point = path[:, s + 1]
        point[:, 0] = 1e-3 * bval * d_par / NOMINAL_D_PAR
        point[:, 1:5] = (a * np.array([[1.0], [2.0], [5.0], [15.0]])).T
        point[:, 5] = 0.5 * np.log(np.maximum(a[0], LEAST_SIGNAL))
        free = _free_coefficients(a, floor)
        point[:, 6], point[:, 7] = free[0], 2.0 * free[1]
        point[:, 8] = 20.0 * told * u[0]
        point[:, 9:] = (u[1:] * np.sqrt(RIDGE[1:, None])).T
    context = np.empty((count, len(CONTEXT)), dtype=np.float32)
    context[:, 0] = np.log(told) + 3.0
    context[:, 1] = unknown
    context[:, 2] = np.log(floor / told)
    context[:, 3] = np.log(residual) + 3.0
    context[:, 4] = 1.0 / np.sqrt(len(shells.b0))
    context[:, 5] = d_iso / d_par - NOMINAL_RATIO
    context[:, 6] = 10.0 / np.sqrt(shells.counts.sum()) - 1.0
    context[:, 7:10], context[:, 10:] = expected[0], np.log(expected[1])
    return path, context
