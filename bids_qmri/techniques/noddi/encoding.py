"""A diffusion protocol as the NODDI model needs it, by itself and beside one frame of reference per voxel.

What depends on the protocol alone is computed once. A frame makes the direction of the model two small
numbers, without the poles of spherical coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.noddi.watson import DEGREES, stick_moments
from bids_qmri.units import FloatArray

FEWEST, MOST, NEIGHBOUR = 8, 24, 1.05
"""Measurements of one b-value that are computed by themselves, and the most of several b-values, within 5 %,
that are computed together. Both are exact; scanners often write b-values that differ by a few s/mm^2."""

Voxels = npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice


@dataclass(frozen=True, eq=False)
class Rows:
    """Measurements that are computed together: B = 1 where they share a b-value, else one b-value each.

    Parameters
    ----------
    place
        Where they are among the measurements.
    attenuation
        b d_par, shape (B, 1).
    free_water
        exp(-b d_iso), shape (B, 1).
    sticks
        What takes the moments p_l of directions (`models.watson`) to the coefficients of the signal of
        sticks in powers of the squared cosine between gradient and mean direction, shape (8 B, 8).
    """

    place: slice
    attenuation: FloatArray
    free_water: FloatArray
    sticks: FloatArray

    def stick_coefficients(self, moments: FloatArray) -> FloatArray:
        """Return the coefficients of the powers, shape (8, B, V), for moments of shape (8, V)."""
        shape = DEGREES.size, len(self.attenuation), moments.shape[1]
        return np.asarray((self.sticks @ moments).reshape(shape))


@dataclass(frozen=True, eq=False)
class Encoding:
    """A protocol in the order of b, with what depends on b alone.

    Parameters
    ----------
    order
        Place in the protocol of every measurement, shape (N,).
    gradients
        Gradient directions, shape (N, 3).
    weights
        Number of images averaged into each measurement, shape (N,).
    groups
        All measurements, in groups.
    """

    order: npt.NDArray[np.intp]
    gradients: FloatArray
    weights: FloatArray
    groups: tuple[Rows, ...]


def encode(protocol: DiffusionProtocol, d_par: float, d_iso: float) -> Encoding:
    """Sort a protocol by b and precompute what depends on b alone.

    Parameters
    ----------
    protocol
        Diffusion weightings with directions.
    d_par, d_iso
        Diffusivities along neurites and of free water, mm^2/s.

    Raises
    ------
    InputError
        If the protocol has no gradient directions.
    """
    if protocol.bvecs is None:
        raise InputError("gradient directions are not known", field="bvecs", needed="one per b-value")
    order = np.argsort(protocol.bvals, kind="stable")
    bvals = protocol.bvals[order]
    groups = tuple(_rows(place, bvals[place], d_par, d_iso) for place in _places(bvals))
    return Encoding(order, protocol.bvecs[order], protocol.weights[order], groups)


def _places(bvals: FloatArray) -> list[slice]:
    """Divide sorted b-values: `FEWEST` or more that are equal stand alone, fewer go with their neighbours."""
    starts = np.flatnonzero(np.diff(bvals, prepend=-1.0))
    places: list[slice] = []
    mixed = False
    for first, end in zip(starts, np.append(starts[1:], bvals.size), strict=True):
        few = end - first < FEWEST
        near = bool(places) and bvals[first] <= NEIGHBOUR * bvals[places[-1].start]
        if few and mixed and near and end - places[-1].start <= MOST:
            places[-1] = slice(places[-1].start, int(end))
        else:
            places.append(slice(int(first), int(end)))
        mixed = few
    return places


def _rows(place: slice, bvals: FloatArray, d_par: float, d_iso: float) -> Rows:
    """Precompute what depends on the b-values of a group."""
    if bvals[0] == bvals[-1]:
        bvals = bvals[:1]
    moments = (2 * DEGREES + 1) * stick_moments(bvals * d_par).T
    sticks = LEGENDRE[:, None, :] * moments
    return Rows(
        place, bvals[:, None] * d_par, np.exp(-bvals * d_iso)[:, None], sticks.reshape(-1, DEGREES.size)
    )


def _legendre_in_squares() -> FloatArray:
    """Return the coefficient of u^j in P_l(sqrt(u)), shape (8, 8) over j and l."""
    table = np.zeros((DEGREES.size, DEGREES.size))
    for column, degree in enumerate(DEGREES):
        series = np.zeros(degree + 1)
        series[degree] = 1.0
        table[: column + 1, column] = np.polynomial.legendre.leg2poly(series)[::2]
    return table


LEGENDRE = _legendre_in_squares()


@dataclass(frozen=True, eq=False)
class AlignedEncoding:
    """An encoding beside one frame of reference per voxel: the protocol of V voxels in a fit.

    Parameters
    ----------
    encoding
        Shared by all voxels.
    axes
        Reference direction and two unit vectors orthogonal to it and to each other, (axis, component, voxel),
        shape (3, 3, V).
    """

    encoding: Encoding
    axes: FloatArray

    @property
    def n_measurements(self) -> int:
        """Number of measurements N per voxel."""
        return len(self.encoding.order)

    @property
    def weights(self) -> FloatArray:
        """Number of images averaged into each measurement, shape (N,)."""
        return self.encoding.weights

    def take(self, voxels: Voxels) -> AlignedEncoding:
        """Return the encoding of some voxels."""
        return replace(self, axes=self.axes[:, :, voxels])

    def turn(self, tilts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the unit direction at tilts of shape (2, V), and its derivatives by them, (2, 3, V).

        A tilt is the tangent of the angle by which the direction leaves the reference towards an axis.
        """
        length = np.sqrt(1.0 + tilts[0] ** 2 + tilts[1] ** 2)
        reference, *tangents = self.axes
        direction = (reference + tilts[0] * tangents[0] + tilts[1] * tangents[1]) / length
        return direction, (self.axes[1:] - direction * (tilts / length)[:, None]) / length


def align(encoding: Encoding, direction: FloatArray) -> AlignedEncoding:
    """Return the encoding in frames whose reference is a unit direction per voxel, shape (3, V)."""
    upright = np.abs(direction[2]) < 0.5
    other = np.where(upright, np.array([[0.0], [0.0], [1.0]]), np.array([[1.0], [0.0], [0.0]]))
    first = np.cross(other, direction, axis=0)
    first /= np.linalg.norm(first, axis=0)
    return AlignedEncoding(encoding, np.stack([direction, first, np.cross(direction, first, axis=0)]))
