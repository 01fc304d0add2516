"""Neurite orientation dispersion and density imaging (NODDI): sticks, hindered tissue water, free water.

S / S0 = (1 - FWF) [NDI A_ic + (1 - NDI) A_ec] + FWF exp(-b d_iso) of Zhang et al. 2012,
doi:10.1016/j.neuroimage.2012.03.072. A_ic is the signal of sticks with Watson-distributed directions. A_ec is
that of ONE tensor, the average of those around every stick; its perpendicular diffusivity d_par (1 - NDI) is
tortuous. b in s/mm^2, diffusivities in mm^2/s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import directed, without_b0
from bids_qmri.physics.model import Model, Parameter, Setting
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.shells import GRID as GRID_OF_B
from bids_qmri.physics.shells import JITTER, cluster_shells, shells_in_words
from bids_qmri.techniques.noddi.encoding import LEGENDRE, AlignedEncoding, Encoding, Rows, encode
from bids_qmri.techniques.noddi.multishell import FEWEST_DIRECTIONS, LOWEST_B, full_shells
from bids_qmri.techniques.noddi.watson import DEGREES, watson_moments
from bids_qmri.units import FloatArray

D_PAR, D_ISO = 1.7e-3, 3.0e-3
"""Diffusivities in living tissue, mm^2/s: along neurites, and of free water."""

BLOCK_VALUES = 2**15
"""Signal values that `noddi_signal` computes at a time: they stay in the processor's cache."""

GRID = (8, 8, 6)
"""NDI, ODI and FWF that `start` tries, evenly spaced."""

START_DEGREES = 3
"""Legendre degrees 0, 2, 4 that `start` compares."""

START_NODES = 16
"""Directions from which `start` sees an atom."""

NDI = Parameter(
    "ndi", "NDI", "1", (0.0, 1.0), (0.0, 1.0), "Neurite density index: share of tissue water within neurites."
)
# The NODDI toolbox limits the concentration kappa to 64.
ODI = Parameter("odi", "ODI", "1", (0.01, 1.0), (0.01, 1.0), "Orientation dispersion index.")
FWF = Parameter("fwf", "FWF", "1", (0.0, 1.0), (0.0, 1.0), "Free water fraction of the signal at b = 0.")
TILTS = tuple(
    Parameter(f"tilt_{i}", f"tilt {i}", "1", (-2.0, 2.0), (0.0, 0.0), "Tilt of the direction.", internal=True)
    for i in (1, 2)
)
"""Where the direction lies in the frame of a voxel (`AlignedEncoding.turn`): for fits, not for files."""

SETTINGS = (
    Setting("d_par", "mm^2/s", (1e-4, 1e-2), "ParallelDiffusivity", "Diffusivity along neurites."),
    Setting("d_iso", "mm^2/s", (1e-4, 1e-2), "IsotropicDiffusivity", "Diffusivity of free water."),
)

COMPONENTS = ("direction_x", "direction_y", "direction_z")
"""Maps of an estimator that together are a direction in the frame of the gradient table."""

LEAST_TOP_B = 1000.0
"""s/mm^2; below it, signals of neurites and of what surrounds them can hardly be told apart."""


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
        Neurite density index, orientation dispersion index and free water fraction, 0 to 1, shape (V,).
    direction
        Unit vectors along the mean direction of neurites, in the axes of the gradients, shape (V, 3).
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
    encoding = encode(protocol, d_par, d_iso)
    signal = np.empty((protocol.n_measurements, len(direction)))
    size = max(BLOCK_VALUES // protocol.n_measurements, 64)
    for first in range(0, len(direction), size):
        part = slice(first, first + size)
        theta = np.stack([ndi[part], odi[part], fwf[part]])
        signal[encoding.order, part] = evaluate(encoding, theta, direction[part].T)
    return signal


@dataclass(frozen=True)
class Noddi(Model):
    """NODDI in living tissue; the signal is that divided by S0, the direction is one of a frame per voxel.

    Parameters
    ----------
    d_par, d_iso
        Diffusivities along neurites and of free water, mm^2/s.
    """

    name: ClassVar[str] = "noddi"
    protocol: ClassVar[type[DiffusionProtocol]] = DiffusionProtocol
    parameters: ClassVar[tuple[Parameter, ...]] = (NDI, ODI, FWF, *TILTS)
    settings: ClassVar[tuple[Setting, ...]] = SETTINGS
    main: ClassVar[tuple[str, ...]] = ("ndi", "odi", "fwf")
    compiled: ClassVar[bool] = True
    """Whether the kernels of fits know its parameters."""

    d_par: float = D_PAR
    d_iso: float = D_ISO

    def with_settings(self, settings: Mapping[str, float]) -> Self:
        told = super().with_settings(settings)
        if told.d_par >= told.d_iso:
            raise InputError(
                f"{told.d_par:g} along neurites and {told.d_iso:g} in free water",
                field=f"{self.name}.d_par",
                needed="free water to be the faster",
                fix="write the diffusivity along neurites first",
            )
        return told

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, DiffusionProtocol):
            return "no b-values"
        if protocol.bvecs is None:
            return "no gradient directions (.bvec)"
        if reason := without_b0(protocol):
            return reason
        if unknown := int(np.sum(~directed(protocol))):
            return f"{unknown} images above b = 0 have no direction; leave them out of the series"
        weighted = protocol.bvals[~protocol.b0_mask]
        if weighted.size and not cluster_shells(weighted)[0].size:
            return GRID_OF_B
        full = [float(protocol.bvals[images].mean()) for images in full_shells(protocol)]
        if len(full) >= 2 and full[-1] >= LEAST_TOP_B - JITTER:
            return ""
        return (
            f"{shells_in_words(full, FEWEST_DIRECTIONS)}, from {LOWEST_B:g} up; NODDI needs 2, one at "
            f"{LEAST_TOP_B:g} or above"
        )

    def predict(self, maps: Mapping[str, FloatArray], protocol: DiffusionProtocol) -> FloatArray | None:
        names = [p.name for p in self.parameters if not p.internal]
        if not all(name in maps for name in (*names, "s0", *COMPONENTS)):
            return None
        theta = np.stack([np.asarray(maps[name], dtype=np.float64) for name in names])
        direction = np.stack([np.asarray(maps[name], dtype=np.float64) for name in COMPONENTS], axis=1)
        ndi, odi, fwf = theta[:3]
        signal = noddi_signal(ndi, odi, fwf, direction, protocol, d_par=self.d_par, d_iso=self.d_iso)
        return np.asarray(maps["s0"])[:, None] * self._with_rest(theta, signal).T

    def draw(self, count: int, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Return maps of voxels with neurites in all directions."""
        vectors = rng.standard_normal((3, count))
        directions = zip(COMPONENTS, vectors / np.linalg.norm(vectors, axis=0), strict=True)
        return super().draw(count, rng) | dict(directions) | {"s0": rng.uniform(0.5, 2.0, count)}

    def _with_rest(self, theta: FloatArray, signal: FloatArray) -> FloatArray:
        """Add to a signal, (N, V), what is not of neurites and water that moves."""
        return signal

    def signal(self, theta: FloatArray, protocol: AlignedEncoding) -> FloatArray:
        direction, _ = protocol.turn(theta[-2:])
        return evaluate(protocol.encoding, theta, direction)

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: AlignedEncoding
    ) -> tuple[FloatArray, FloatArray]:
        direction, tangents = protocol.turn(theta[-2:])
        jacobian = np.empty((5, protocol.n_measurements, theta.shape[1]))
        signal, by_cosine = evaluate_with_derivatives(protocol.encoding, theta, direction, jacobian)
        for row, tangent in zip(jacobian[3:], tangents, strict=True):
            np.matmul(protocol.encoding.gradients, tangent, out=row)
            row *= by_cosine
        return signal, jacobian

    def start(
        self, signal: FloatArray, protocol: AlignedEncoding, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        """Search a grid for the least misfit, the direction being that of the frames.

        Gradients are taken to be spread evenly at every b-value, so that the energy of a grid point does not
        depend on the direction.
        """
        encoding = protocol.encoding
        axes = [np.linspace(a, b, n) for a, b, n in zip(lower, upper, GRID, strict=False)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
        atoms = _zonal_atoms(encoding, grid)
        counts = np.array([rows.place.stop - rows.place.start for rows in encoding.groups])
        energy = np.einsum("g,l,glk->k", counts, 1.0 / (2 * DEGREES[:START_DEGREES] + 1), atoms**2)
        moments = _zonal_moments(encoding, signal, encoding.gradients @ protocol.axes[0])
        product = atoms.reshape(-1, energy.size).T @ moments.reshape(-1, signal.shape[1])
        theta = np.zeros((lower.size, signal.shape[1]))
        theta[:3] = grid[:, np.argmin(energy[:, None] - 2.0 * product, axis=0)]
        return np.asarray(np.clip(theta, lower[:, None], upper[:, None]))


NODDI = Noddi()


@dataclass(frozen=True, eq=False)
class Tissue:
    """What a voxel is made of, in the terms that all its measurements share; arrays of shape (V,) or (8, V).

    Parameters
    ----------
    neurites, hindered, free
        Shares: sticks and hindered water of the tissue, free water of the voxel.
    moments, moments_by_odi
        Of the directions, `models.watson`.
    """

    neurites: FloatArray
    hindered: FloatArray
    free: FloatArray
    moments: FloatArray
    moments_by_odi: FloatArray

    @property
    def mean(self) -> FloatArray:
        """What neurites take from the diffusivity of hindered water, over NDI: where square is 0."""
        return np.asarray((2.0 + self.moments[1]) / 3.0)

    @property
    def anisotropy(self) -> FloatArray:
        """How much less they take along their direction: where square is 1."""
        return np.asarray(self.moments[1])


def tissue_of(theta: FloatArray) -> Tissue:
    """Return the tissue of NDI, ODI, FWF and anything else, shape (P, V)."""
    return Tissue(theta[0], 1.0 - theta[0], theta[2], *watson_moments(theta[1]))


def evaluate(encoding: Encoding, theta: FloatArray, direction: FloatArray) -> FloatArray:
    """Return S / S0, shape (N, V), in the order of `encoding`.

    Parameters
    ----------
    theta
        NDI, ODI, FWF and anything else, shape (P, V).
    direction
        Unit vectors, shape (3, V); where these are of single precision, so is what is returned.
    """
    t = tissue_of(theta)
    kind = direction.dtype
    t = Tissue(*(getattr(t, item.name).astype(kind, copy=False) for item in fields(t)))
    signal = np.square(encoding.gradients.astype(kind, copy=False) @ direction)
    for rows in encoding.groups:
        square, x = signal[rows.place], rows.attenuation.astype(kind, copy=False)
        sticks = _polynomial(rows.stick_coefficients(t.moments).astype(kind, copy=False), square)
        sticks *= t.neurites
        # The diffusivity of hindered water along the gradient is d_par [1 - NDI (mean - anisotropy square)].
        square *= -x * t.neurites * t.anisotropy
        square += x * (t.neurites * t.mean - 1.0)
        np.exp(square, out=square)
        square *= t.hindered
        square += sticks
        square *= 1.0 - t.free
        square += t.free * rows.free_water.astype(kind, copy=False)
    return signal


def evaluate_with_derivatives(
    encoding: Encoding, theta: FloatArray, direction: FloatArray, out: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return S / S0 and its derivative by the cosine between gradient and direction, each of shape (N, V).

    Parameters
    ----------
    theta
        NDI, ODI, FWF and anything else, shape (P, V).
    direction
        Unit vectors, shape (3, V).
    out
        Derivatives by NDI, ODI and FWF are written to the first three of it, shape (P, N, V).
    """
    tissue = tissue_of(theta)
    signal, by_cosine = np.empty((2, len(encoding.gradients), theta.shape[1]))
    for rows in encoding.groups:
        place = rows.place
        cosine = encoding.gradients[place] @ direction
        _evaluate_rows(rows, tissue, cosine, (signal[place], by_cosine[place], *out[:3, place]))
    return signal, by_cosine


def _evaluate_rows(rows: Rows, t: Tissue, cosine: FloatArray, out: tuple[FloatArray, ...]) -> None:
    """Write signal and derivatives by cosine, NDI, ODI and FWF of a group of measurements, each (N, V)."""
    signal, by_cosine, by_ndi, by_odi, by_fwf = out
    x, scale = rows.attenuation, (1.0 - t.free) * t.neurites
    square = cosine * cosine
    sticks, slope = _polynomial_and_slope(rows.stick_coefficients(t.moments), square)
    # The diffusivity of hindered water along the gradient is d_par (1 - NDI relief).
    relief = square * -t.anisotropy
    relief += t.mean
    hindered = relief * (x * t.neurites)
    hindered -= x
    np.exp(hindered, out=hindered)

    np.multiply(hindered, x * t.hindered * t.anisotropy, out=by_cosine)
    np.subtract(slope, by_cosine, out=by_cosine)
    by_cosine *= 2.0 * scale
    by_cosine *= cosine

    by_odi[:] = _polynomial(rows.stick_coefficients(scale * t.moments_by_odi), square)
    weight = x * t.hindered * scale * t.moments_by_odi[1]
    square *= -weight
    square += weight / 3.0
    square *= hindered
    by_odi += square

    relief *= x * t.hindered
    relief -= 1.0
    relief *= hindered
    relief += sticks
    np.multiply(relief, 1.0 - t.free, out=by_ndi)

    sticks *= t.neurites
    hindered *= t.hindered
    sticks += hindered
    np.subtract(rows.free_water, sticks, out=by_fwf)
    np.multiply(by_fwf, t.free, out=signal)
    signal += sticks


def _polynomial(coefficients: FloatArray, square: FloatArray) -> FloatArray:
    """Evaluate polynomials, coefficients (8, 1 or N, V), at `square`, (N, V)."""
    value: FloatArray = coefficients[-1] * square
    for c in coefficients[-2:0:-1]:
        value += c
        value *= square
    value += coefficients[0]
    return value


def _polynomial_and_slope(coefficients: FloatArray, square: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Evaluate polynomials, coefficients (8, 1 or N, V), and their derivatives at `square`, (N, V)."""
    value = coefficients[-1] * square
    value += coefficients[-2]
    slope = np.zeros_like(square)
    slope += coefficients[-1]
    for c in coefficients[-3::-1]:
        slope *= square
        slope += value
        value *= square
        value += c
    return value, slope


def _zonal_atoms(encoding: Encoding, grid: FloatArray) -> FloatArray:
    """Return the Legendre coefficients of the signals of grid points, shape (G, L, K) for a grid (3, K)."""
    nodes, weights = np.polynomial.legendre.leggauss(START_NODES)
    around = [
        Rows(
            slice(START_NODES * i, START_NODES * (i + 1)),
            rows.attenuation.mean(axis=0, keepdims=True),
            rows.free_water.mean(axis=0, keepdims=True),
            rows.sticks.reshape(DEGREES.size, -1, DEGREES.size).mean(axis=1),
        )
        for i, rows in enumerate(encoding.groups)
    ]
    count = len(around)
    gradients = np.tile(np.stack([np.sqrt(1.0 - nodes**2), 0.0 * nodes, nodes], axis=1), (count, 1))
    pole = np.broadcast_to(np.array([[0.0], [0.0], [1.0]]), (3, grid.shape[1]))
    signal = evaluate(replace(encoding, gradients=gradients, groups=tuple(around)), grid, pole)
    signal = signal.reshape(count, START_NODES, -1)
    degrees = DEGREES[:START_DEGREES]
    legendre = np.polynomial.legendre.legvander(nodes, int(degrees[-1]))[:, degrees]
    return np.asarray((legendre * weights[:, None] * (degrees + 0.5)).T @ signal)


def _zonal_moments(encoding: Encoding, signal: FloatArray, cosine: FloatArray) -> FloatArray:
    """Return the sums over gradients of signal times Legendre polynomial, shape (G, L, V)."""
    square = cosine * cosine
    powers = [signal]
    for _ in range(1, START_DEGREES):
        powers.append(powers[-1] * square)
    sums = np.array([[power[rows.place].sum(axis=0) for power in powers] for rows in encoding.groups])
    return np.asarray(LEGENDRE[:START_DEGREES, :START_DEGREES].T @ sums)
