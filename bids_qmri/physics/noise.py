"""Noise of MR images: simulation, and the functions of the Rician distribution that estimators need.

A magnitude image of a signal m with Gaussian noise sigma in both channels is Rician,
doi:10.1002/mrm.1910340618. All functions broadcast.

Noise is two numbers. The *floor* is the thermal noise of either channel: it decides what a magnitude shows
where there is no signal. The *scatter* is by how much measurements differ from the model: thermal noise, and
what motion, flow and pulsation add. Where nothing moves they are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

from bids_qmri.units import FloatArray

TABLE_END = 16.0
"""Signal-to-noise ratio beyond which the information is taken from its asymptotic series."""

TABLE_POINTS = 4097


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise of a single image, in the unit of the signal.

    Parameters
    ----------
    floor
        Standard deviation of either channel, one number or (V,).
    scatter
        Standard deviation of measurements about the model where there is signal, one number or (V,).
    """

    floor: float | FloatArray
    scatter: float | FloatArray

    def spread(self, count: int) -> VoxelNoise:
        """Return both in each of `count` voxels."""
        floor, scatter = (
            np.broadcast_to(np.asarray(level, dtype=np.float64), (count,))
            for level in (self.floor, self.scatter)
        )
        return VoxelNoise(floor, scatter)


@dataclass(frozen=True, eq=False)
class VoxelNoise:
    """Noise of a single image in V voxels: `floor` and `scatter` as of `Noise`, each (V,)."""

    floor: FloatArray
    scatter: FloatArray

    @classmethod
    def thermal(cls, sigma: FloatArray) -> Self:
        """Return the noise of voxels in which nothing but the thermal noise `sigma`, (V,), scatters."""
        return cls(sigma, sigma)

    @property
    def images(self) -> FloatArray:
        """Images of thermal noise alone that tell as little as one with this scatter, as a share, (V,)."""
        return np.asarray((self.floor / self.scatter) ** 2)

    def take(self, voxels: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> VoxelNoise:
        """Return that of some voxels."""
        return VoxelNoise(self.floor[voxels], self.scatter[voxels])

    def over(self, unit: FloatArray) -> VoxelNoise:
        """Return it in another unit, (V,)."""
        return VoxelNoise(self.floor / unit, self.scatter / unit)


def add_rician_noise(signal: npt.ArrayLike, sigma: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
    """Return the magnitude of `signal` after complex Gaussian noise of standard deviation `sigma`."""
    mean = np.asarray(signal, dtype=np.float64)
    scale = np.broadcast_to(np.asarray(sigma, dtype=np.float64), mean.shape)
    return np.hypot(mean + scale * rng.standard_normal(mean.shape), scale * rng.standard_normal(mean.shape))


def log_bessel_i0(x: FloatArray) -> FloatArray:
    """Return ln I0(x) for x >= 0 without overflow."""
    from scipy.special import i0e

    return np.asarray(np.log(i0e(x)) + x)


def bessel_ratio(x: FloatArray) -> FloatArray:
    """Return I1(x) / I0(x) for x >= 0: the expected cosine of the phase noise."""
    from scipy.special import i0e, i1e

    return np.asarray(i1e(x) / i0e(x))


def rician_moments(snr: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of magnitudes, in units of sigma and of its square.

    Formulas as in doi:10.1016/j.jmr.2006.01.016.

    Parameters
    ----------
    snr
        Noise-free signal divided by sigma, 0 or above.
    """
    from scipy.special import i0e, i1e

    x = np.asarray(snr) ** 2 / 4.0
    mean = np.sqrt(np.pi / 2.0) * ((1.0 + 2.0 * x) * i0e(x) + 2.0 * x * i1e(x))
    return np.asarray(mean), np.asarray(2.0 + 4.0 * x - mean**2)


def rician_information(snr: FloatArray) -> FloatArray:
    """Return sigma^2 times the Fisher information that a magnitude image holds about its signal.

    Parameters
    ----------
    snr
        Noise-free signal divided by sigma, 0 or above.

    Returns
    -------
    FloatArray
        0 where there is no signal, towards 1 (Gaussian noise) at high signal; same shape as `snr`.
    """
    table = information_table()
    # fmin, unlike minimum, keeps the index valid where the ratio is not a number.
    position = np.fmin(np.asarray(snr) * ((TABLE_POINTS - 1) / TABLE_END), TABLE_POINTS - 1.0)
    index = np.minimum(position.astype(np.intp), TABLE_POINTS - 2)
    below = table[index]
    inside = below + (position - index) * (table[index + 1] - below)
    return np.where(snr < TABLE_END, inside, 1.0 - 0.5 / np.maximum(snr, TABLE_END) ** 2)


@lru_cache(maxsize=1)
def information_table() -> FloatArray:
    """Return E[(y A(y m))^2] - m^2 over m, with y Rician(m, 1) and A = I1 / I0: a table."""
    from scipy.special import i0e

    m = np.linspace(0.0, TABLE_END, TABLE_POINTS)[:, None]
    # The density is negligible beyond 9 sd of m; Gauss-Legendre is exact to 1e-10 on that interval.
    nodes, quadrature = np.polynomial.legendre.leggauss(96)
    low, high = np.maximum(m - 9.0, 0.0), m + 9.0
    y = low + (high - low) * (nodes + 1.0) / 2.0
    density = y * np.exp(-0.5 * (y - m) ** 2) * i0e(y * m) * quadrature * (high - low) / 2.0
    return np.asarray(np.sum(density * (y * bessel_ratio(y * m)) ** 2, axis=1) - m[:, 0] ** 2)
