"""Diffusion tensor and diffusion kurtosis: the logarithm of the signal as a power series of b. b in s/mm^2.

Basser et al. 1994, doi:10.1006/jmrb.1994.1037; Jensen et al. 2005, doi:10.1002/mrm.20508. Both models are
linear in their elements once the logarithm is taken; the scalars that are written into files are derived from
these.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import count_directions, within, without_b0
from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.shells import GRID, JITTER, cluster_shells, shells_in_words
from bids_qmri.techniques.dti.kurtosis import kurtosis_slopes
from bids_qmri.techniques.dti.scalars import (
    FRACTIONAL,
    OF_KURTOSIS,
    kurtosis_anisotropy_slope,
    tensor_slopes,
)
from bids_qmri.techniques.dti.symmetric import (
    ELEMENT_COUNT,
    ELEMENTS,
    NAMES,
    PAIR_COUNT,
    PAIRS,
    eigensystem,
    monomials,
    multiples,
)
from bids_qmri.techniques.dti.tilt import Tilt
from bids_qmri.units import FloatArray

B_MAX_TENSOR = 1500.0
"""Above this many s/mm^2 the signal leaves the Gaussian regime that the tensor assumes."""
B_MAX_KURTOSIS = 3000.0
"""Above this many s/mm^2 the cumulant expansion of the kurtosis model no longer converges in tissue."""
DKI_MIN_TOP_B = 1500.0
"""s/mm^2; kurtosis does not show below it."""

EIGENVALUE_NOISE = 3.0
"""Variances of the tensor added to squared eigenvalues (`Kurtosis.deviations`); chosen by coverage."""

UNIT_WITHIN = 0.01
"""How far the length of a direction may be from 1."""

FEWEST_IN_SHELL = 6
"""Directions of a shell that counts for kurtosis."""

_S0 = Parameter("s0", "S0", "1", (0.0, np.inf), (0.5, 2.0), "Signal without diffusion weighting.")


def _element(name: str, unit: str, of: str, training: tuple[float, float]) -> Parameter:
    return Parameter(
        name, name.upper(), unit, (-np.inf, np.inf), training, f"Element of the {of}.", internal=True
    )


_TENSOR_ELEMENTS = tuple(
    _element(
        f"d{'xyz'[i]}{'xyz'[j]}", "mm^2/s", "diffusion tensor", (0.2e-3, 2e-3) if i == j else (-5e-4, 5e-4)
    )
    for i, j in PAIRS
)
# W of Jensen et al. times the squared mean diffusivity: what the logarithm of the signal is linear in.
_KURTOSIS_ELEMENTS = tuple(
    _element(f"w{name}", "mm^4/s^2", "kurtosis tensor times the squared mean diffusivity", (-5e-7, 2e-6))
    for name in NAMES
)


def _diffusivity(name: str, description: str) -> Parameter:
    return Parameter(name, name.upper(), "mm^2/s", (0.0, 0.01), (0.2e-3, 3e-3), description)


_SCALARS = (
    Parameter("fa", "FA", "1", (0.0, 1.0), (0.0, 1.0), "Fractional anisotropy of the diffusion tensor."),
    _diffusivity("md", "Mean diffusivity, the mean of the eigenvalues of the diffusion tensor."),
    _diffusivity("ad", "Axial diffusivity, the largest eigenvalue of the diffusion tensor."),
    _diffusivity("rd", "Radial diffusivity, the mean of the two smaller eigenvalues of the tensor."),
)


def _kurtosis(name: str, description: str) -> Parameter:
    # Water in spherical pores has -3/7; above 10 the expansion means nothing.
    return Parameter(name, name.upper(), "1", (-3.0 / 7.0, 10.0), (0.0, 2.0), description)


_KURTOSIS_SCALARS = (
    _kurtosis("mk", "Mean kurtosis, the average of the apparent kurtosis over all directions."),
    _kurtosis("ak", "Axial kurtosis, along the principal direction of the diffusion tensor."),
    _kurtosis("rk", "Radial kurtosis, averaged over the directions perpendicular to the principal one."),
    Parameter("kfa", "KFA", "1", (0.0, 1.0), (0.0, 1.0), "Kurtosis fractional anisotropy."),
)


class Cumulants(Model):
    """S = S0 exp(sum of elements times what the protocol makes of them).

    Attributes
    ----------
    quantity
        What the elements are, for messages.
    b_max
        Measurements above this many s/mm^2 are left out of fits; the scanner's jitter is allowed for.
    order
        Highest power of b.
    fewest_directions, fewest_shells
        What determines the elements: directions that are not collinear, and shells above b = 0.
    """

    protocol = DiffusionProtocol
    amplitude: ClassVar[str | None] = "s0"
    quantity: ClassVar[str]
    b_max: ClassVar[float]
    order: ClassVar[int]
    fewest_directions: ClassVar[int]
    fewest_shells: ClassVar[int]

    @abstractmethod
    def design(self, protocol: DiffusionProtocol) -> FloatArray:
        """Return the derivatives of the logarithm of the signal by the elements, (N, P - 1)."""

    @abstractmethod
    def slopes(
        self, elements: FloatArray, values: FloatArray, vectors: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return derived quantities, (V, Q), and their derivatives by the elements, (V, Q, P - 1).

        Parameters
        ----------
        elements
            All parameters but S0, (V, P - 1).
        values, vectors
            Eigenvalues, largest first, (V, 3), and eigenvectors as columns, (V, 3, 3), of the tensor.
        """

    @abstractmethod
    def deviations(
        self,
        elements: FloatArray,
        values: FloatArray,
        vectors: FloatArray,
        covariance: FloatArray,
        bias: FloatArray,
    ) -> FloatArray:
        """Return standard deviations of derived quantities, (V, Q), NaN where they cannot be known.

        They are the root mean square of the scatter, of first order in the noise, and of the bias, of second
        order, that noise is expected to give.

        Parameters
        ----------
        elements, values, vectors
            As of `slopes`.
        covariance, bias
            Covariance of the elements, (V, P - 1, P - 1), and their bias by noise, (V, P - 1).
        """

    def signal(self, theta: FloatArray, protocol: DiffusionProtocol) -> FloatArray:
        return np.asarray(theta[-1] * np.exp(self.design(protocol) @ theta[:-1]))

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: DiffusionProtocol
    ) -> tuple[FloatArray, FloatArray]:
        design = self.design(protocol)
        jacobian = np.empty((len(theta), *design.shape[:1], theta.shape[1]))
        np.exp(design @ theta[:-1], out=jacobian[-1])
        signal = theta[-1] * jacobian[-1]
        np.multiply(design.T[:, :, None], signal, out=jacobian[:-1])
        return signal, jacobian

    def start(
        self, signal: FloatArray, protocol: DiffusionProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        """Fit the logarithm of the signal without weights; what is not positive is the least positive."""
        least = np.min(signal, axis=0, initial=np.inf, where=signal > 0)
        logs = np.log(np.where(signal > 0, signal, np.where(np.isfinite(least), least, 1.0)))
        design = np.column_stack([self.design(protocol), np.ones(protocol.n_measurements)])
        # Columns grow with powers of b.
        scale = np.abs(design).max(axis=0)
        theta = (np.linalg.pinv(design / scale) @ logs) / scale[:, None]
        theta[-1] = np.exp(theta[-1])
        return np.asarray(np.clip(theta, lower[:, None], upper[:, None]))

    def derive(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        elements = np.ascontiguousarray(theta[:-1].T)
        with np.errstate(all="ignore"):
            scalars, by_elements = self.slopes(elements, *eigensystem(elements[:, :6]))
        slopes = np.zeros((scalars.shape[1], *theta.shape))
        slopes[:, :-1] = by_elements.transpose(1, 2, 0)
        return scalars.T, slopes

    def draw(self, count: int, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Return maps of voxels with tensors along all axes, whose signals fall with b up to `b_max`."""
        values = rng.uniform(0.2e-3, 2e-3, (count, 1, 3))
        vectors = np.linalg.qr(rng.standard_normal((count, 3, 3)))[0]
        tensor = (vectors * values) @ vectors.transpose(0, 2, 1)
        maps = {p.name: tensor[:, i, j] for p, (i, j) in zip(self.parameters, PAIRS, strict=False)}
        return maps | {"s0": rng.uniform(0.5, 2.0, count)}

    def predict(self, maps: Mapping[str, FloatArray], protocol: DiffusionProtocol) -> FloatArray | None:
        """Return the signals, (V, N), that maps explain, NaN above `b_max`; None without the elements."""
        if protocol.bvecs is None:
            return None
        signal = super().predict(maps, protocol)
        if signal is not None:
            signal[:, ~self.kept(protocol)] = np.nan
        return signal

    def kept(self, protocol: DiffusionProtocol) -> npt.NDArray[np.bool_]:
        """Return which measurements are fitted, (N,): up to `b_max`, with directions."""
        return within(protocol, self.b_max)

    def _directions(self, protocol: DiffusionProtocol) -> int:
        """Count the directions of the measurements that are fitted."""
        if protocol.bvecs is None:
            return 0
        return count_directions(protocol.bvecs[~protocol.b0_mask & self.kept(protocol)])


class Tensor(Cumulants):
    """S = S0 exp(-b n^T D n) of Gaussian diffusion."""

    name: ClassVar[str] = "dti"
    parameters: ClassVar[tuple[Parameter, ...]] = (*_TENSOR_ELEMENTS, _S0)
    derived: ClassVar[tuple[Parameter, ...]] = _SCALARS
    main = ("fa", "md")
    carried: ClassVar[tuple[str, ...]] = tuple(p.name for p in _TENSOR_ELEMENTS)
    quantity = "tensor"
    b_max = B_MAX_TENSOR
    order = 1
    fewest_directions = 6
    fewest_shells = 1

    def kept(self, protocol: DiffusionProtocol) -> npt.NDArray[np.bool_]:
        # A single shell above the limit gives a tensor that is biased, but one that people know and use.
        return within(protocol, self.b_max, self.fewest_directions)

    def design(self, protocol: DiffusionProtocol) -> FloatArray:
        b, vectors = protocol.bvals[:, None], _unit_vectors(protocol)
        return np.asarray(-b * PAIR_COUNT * monomials(vectors, PAIRS))

    def slopes(
        self, elements: FloatArray, values: FloatArray, vectors: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        return tensor_slopes(elements, values, vectors)

    def deviations(
        self,
        elements: FloatArray,
        values: FloatArray,
        vectors: FloatArray,
        covariance: FloatArray,
        bias: FloatArray,
    ) -> FloatArray:
        """Return standard deviations of derived quantities, (V, Q), NaN where they cannot be known.

        Notes
        -----
        The bias is that of the elements, that by the tilt of the first eigenvector (`Tilt`) in AD and RD, and
        what noise adds to FA (`Anisotropy.without_noise`).
        """
        scalars, slopes = self.slopes(elements, values, vectors)
        axial = Tilt.of(values, vectors, covariance).of_eigenvalues()[:, 0]
        shift = np.einsum("vqe,ve->vq", slopes, bias)
        shift[:, 2] += axial
        shift[:, 3] -= 0.5 * axial
        shift[:, 0] += scalars[:, 0] - np.sqrt(FRACTIONAL.without_noise(elements, covariance))
        return np.asarray(np.hypot(_scatter(slopes, covariance), shift))

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, DiffusionProtocol):
            return "no b-values"
        if protocol.bvecs is None:
            return "no gradient directions (.bvec)"
        count = self._directions(protocol)
        if count < self.fewest_directions:
            return f"{count} directions with b up to {self.b_max:g} s/mm^2; a tensor needs 6"
        return without_b0(protocol)


class Kurtosis(Cumulants):
    """S = S0 exp(-b n^T D n + b^2 / 6 * w(n)), with the quartic form w(n) = MD^2 W(n)."""

    name: ClassVar[str] = "dki"
    parameters: ClassVar[tuple[Parameter, ...]] = (*_TENSOR_ELEMENTS, *_KURTOSIS_ELEMENTS, _S0)
    derived: ClassVar[tuple[Parameter, ...]] = (*_SCALARS, *_KURTOSIS_SCALARS)
    main = ("fa", "md", "mk")
    quantity = "kurtosis tensor"
    b_max = B_MAX_KURTOSIS
    order = 2
    fewest_directions = 15
    fewest_shells = 2

    def design(self, protocol: DiffusionProtocol) -> FloatArray:
        b, vectors = protocol.bvals, _unit_vectors(protocol)
        linear = multiples(-b, vectors, PAIRS, PAIR_COUNT)
        return np.hstack([linear, multiples(b * b, vectors, ELEMENTS, ELEMENT_COUNT, divisor=6.0)])

    def draw(self, count: int, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Return maps as of a tensor, with a quartic form that is the same in all directions."""
        maps = super().draw(count, rng)
        elements = np.stack([maps[p.name] for p in _TENSOR_ELEMENTS], axis=1)
        form = rng.uniform(0.0, 3.0 / self.b_max, count) * eigensystem(elements)[0][:, -1]
        share = {1: 1.0, 2: 1.0 / 3.0, 3: 0.0}  # of an element of which two indices are alike, or all
        even = (share[len(set(name))] if all(name.count(i) % 2 == 0 for i in name) else 0.0 for name in NAMES)
        return maps | {p.name: part * form for p, part in zip(_KURTOSIS_ELEMENTS, even, strict=True)}

    def slopes(
        self, elements: FloatArray, values: FloatArray, vectors: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        tensor, kurtosis = elements[:, :6], elements[:, 6:]
        scalars = np.empty((len(elements), 8))
        by_elements = np.zeros((len(elements), 8, 21))
        scalars[:, :4], by_elements[:, :4, :6] = tensor_slopes(tensor, values, vectors)
        scalars[:, 4:7], by_elements[:, 4:7, :6], by_elements[:, 4:7, 6:] = kurtosis_slopes(
            values, vectors, kurtosis
        )
        scalars[:, 7], by_elements[:, 7, 6:] = kurtosis_anisotropy_slope(kurtosis)
        return scalars, by_elements

    def deviations(
        self,
        elements: FloatArray,
        values: FloatArray,
        vectors: FloatArray,
        covariance: FloatArray,
        bias: FloatArray,
    ) -> FloatArray:
        """Return standard deviations of derived quantities, (V, Q), NaN where they cannot be known.

        Notes
        -----
        Those of the tensor are as of `Tensor`; AK and RK are biased by the tilt, too. Kurtosis grows with
        inverse powers of the eigenvalues: where noise has brought one near 0, its slopes are far steeper than
        those at the truth, and standard deviations too large. The noise of the tensor is therefore added to
        squared eigenvalues. The anisotropy of kurtosis is often less than its noise: `Anisotropy.deviation`.
        """
        deviations = np.empty((len(elements), len(self.derived)))
        deviations[:, :4] = TENSOR.deviations(
            elements[:, :6], values, vectors, covariance[:, :6, :6], bias[:, :6]
        )
        noise = covariance[:, (0, 2, 5), (0, 2, 5)].mean(axis=1, keepdims=True)
        stiff = np.sqrt(values**2 + EIGENVALUE_NOISE * noise)
        kurtosis = elements[:, 6:]
        tilt = Tilt.of(stiff, vectors, covariance)
        slopes = np.concatenate(kurtosis_slopes(stiff, vectors, kurtosis)[1:], axis=2)
        shift = np.einsum("vqe,ve->vq", slopes, bias)
        shift[:, 1:] += np.einsum("vqe,ve->vq", slopes[:, 1:, :6], tilt.of_tensor())
        shift[:, 1:] += tilt.of_kurtosis(stiff, kurtosis)
        deviations[:, 4:7] = np.hypot(_scatter(slopes, covariance), shift)
        found = kurtosis_anisotropy_slope(kurtosis)[0]
        deviations[:, 7] = OF_KURTOSIS.deviation(found, kurtosis, covariance[:, 6:, 6:], bias[:, 6:])
        return deviations

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, DiffusionProtocol):
            return "no b-values"
        weighted = protocol.bvals[~protocol.b0_mask & self.kept(protocol)]
        centres, groups = cluster_shells(weighted)
        if weighted.size and not centres.size:
            return GRID
        many = centres[np.bincount(groups, minlength=centres.size) >= FEWEST_IN_SHELL]
        if many.size < 2 or many[-1] < DKI_MIN_TOP_B - JITTER:
            return (
                f"{shells_in_words(many, FEWEST_IN_SHELL)}, up to {self.b_max:g}; kurtosis needs 2, one at "
                f"{DKI_MIN_TOP_B:g} or above"
            )
        count = self._directions(protocol)
        if count < self.fewest_directions:
            return f"{count} directions; kurtosis needs 15"
        return without_b0(protocol)


def _scatter(slopes: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return the deviations of first order, (V, Q), of slopes (V, Q, E) and a covariance (V, E, E)."""
    return np.asarray(np.sqrt(np.einsum("vqe,vqe->vq", slopes @ covariance, slopes)))


def _unit_vectors(protocol: DiffusionProtocol) -> FloatArray:
    """Return directions, (N, 3), 0 where none was played out, as dipy has it."""
    if protocol.bvecs is None:
        raise InputError("gradient directions are not known", field="bvecs", needed="unit vectors")
    unit = np.abs(np.linalg.norm(protocol.bvecs, axis=1) - 1.0) <= UNIT_WITHIN
    return np.where(unit[:, None], protocol.bvecs, 0.0)


TENSOR = Tensor()
KURTOSIS = Kurtosis()
