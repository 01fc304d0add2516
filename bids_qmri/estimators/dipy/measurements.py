"""Which measurements a tensor is fitted to, whether they determine it, and which voxels have a signal.

b in s/mm^2. Called by `tensor`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import count_directions
from bids_qmri.units import FloatArray

SHELL_GAP = 100.0
"""b-values further apart than this many s/mm^2 are different."""

LEVEL = 1024.0
"""Signals without weighting that dipy is given, whatever their unit."""

log = logging.getLogger("bids_qmri")


@runtime_checkable
class Expansion(Protocol):
    """What a model says of itself whose logarithm is a power series of b: `Cumulants` of its technique."""

    quantity: str
    b_max: float
    order: int
    fewest_directions: int
    fewest_shells: int

    def design(self, protocol: DiffusionProtocol) -> FloatArray:
        """Return the derivatives of the logarithm of the signal by the elements, (N, P - 1)."""

    def kept(self, protocol: DiffusionProtocol) -> npt.NDArray[np.bool_]:
        """Return the measurements that it holds for, (N,)."""

    def deviations(
        self,
        elements: FloatArray,
        values: FloatArray,
        vectors: FloatArray,
        covariance: FloatArray,
        bias: FloatArray,
    ) -> FloatArray:
        """Return standard deviations of derived quantities, (V, Q)."""


def selected(
    protocol: DiffusionProtocol, model: Expansion
) -> tuple[npt.NDArray[np.bool_], DiffusionProtocol]:
    """Return which measurements the expansion holds for, (N,), and their protocol.

    Raises
    ------
    InputError
        If directions are missing or the measurements do not determine the coefficients.
    """
    keep = model.kept(protocol)
    used = _kept(protocol, keep, model)
    if not keep.all():
        log.debug(
            "%s: %d of %d measurements left out, b too high or no direction",
            model.quantity,
            np.count_nonzero(~keep),
            keep.size,
        )
    return keep, used


def lowest(protocol: DiffusionProtocol) -> npt.NDArray[np.intp]:
    """Return the measurements without which a voxel has no signal: b = 0, or the lowest b-value."""
    return np.flatnonzero(protocol.bvals <= max(protocol.b0_threshold, float(protocol.bvals.min())))


def with_signal(signal: FloatArray, reference: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Return which voxels, (V,), are finite and positive in the reference measurements; signals (V, N)."""
    with np.errstate(invalid="ignore"):
        # One value that is not finite spoils the sum, which is faster than looking at each.
        finite = np.isfinite(signal @ np.ones(signal.shape[1]))
    return np.asarray(finite & np.all(signal[:, reference] > 0, axis=1))


def scaling(reference: FloatArray) -> float:
    """Return the power of two that brings the level of positive signals near `LEVEL`; 1 without any.

    dipy has floors that are absolute (a least signal of 1e-4, tolerances of its searches): series in other
    units would meet them. A power of two changes no digit.
    """
    positive = reference[np.isfinite(reference) & (reference > 0)]
    if positive.size == 0:
        return 1.0
    return float(2.0 ** np.round(np.log2(LEVEL / np.median(positive))))


def gradient_table(protocol: DiffusionProtocol) -> Any:
    """Return dipy's gradient table."""
    from dipy.core.gradients import gradient_table as table

    return table(protocol.bvals, bvecs=protocol.bvecs, b0_threshold=protocol.b0_threshold)


def design_matrix(protocol: DiffusionProtocol, model: Expansion) -> FloatArray:
    """Return dipy's design matrix, (N, P): elements, then the negative logarithm of S0.

    Computed without dipy, whose import takes longer than many a fit.
    """
    return np.column_stack([model.design(protocol), np.full(protocol.n_measurements, -1.0)])


def _kept(protocol: DiffusionProtocol, keep: npt.NDArray[np.bool_], model: Expansion) -> DiffusionProtocol:
    """Return the protocol of the kept measurements, or say what it lacks."""
    needed = (
        f"for the {model.quantity}: {model.fewest_directions} directions that are not collinear and "
        f"{model.fewest_shells + 1} different b-values (b = 0 counts as one), at most {model.b_max:g} s/mm^2"
    )
    if protocol.bvecs is None:
        raise InputError(
            "gradient directions are not known",
            field="bvecs",
            needed=needed,
            fix="add the bvec file of the series",
        )
    bvals, bvecs = protocol.bvals[keep], protocol.bvecs[keep]
    weighted = bvals > protocol.b0_threshold
    _require_unit_vectors(bvecs[weighted])
    n_directions = count_directions(bvecs[weighted])
    n_bvalues = _count_shells(bvals[weighted]) + int(not weighted.all())
    enough = n_directions >= model.fewest_directions and n_bvalues > model.fewest_shells
    averages = None if protocol.averages is None else protocol.averages[keep]
    used = replace(protocol, bvals=bvals, bvecs=bvecs, averages=averages)
    if not enough or not _full_rank(used, model):
        raise InputError(
            f"{keep.sum()} measurements up to b = {bvals.max(initial=0.0):g} s/mm^2 with {n_directions} "
            f"different directions and {n_bvalues} different b-values do not determine it",
            field="bvals",
            needed=needed,
            fix="leave this model out",
        )
    return used


def _require_unit_vectors(bvecs: FloatArray) -> None:
    wrong = np.abs(np.linalg.norm(bvecs, axis=1) - 1.0) > 1e-2
    if np.any(wrong):
        raise InputError(
            f"{np.count_nonzero(wrong)} directions above b = 0 are not unit vectors",
            field="bvecs",
            needed="vectors of length 1 within 0.01",
        )


def _count_shells(bvals: FloatArray) -> int:
    """Count groups of b-values that lie apart."""
    return int(bvals.size > 0) + int(np.count_nonzero(np.diff(np.sort(bvals)) > SHELL_GAP))


def _full_rank(protocol: DiffusionProtocol, model: Expansion) -> bool:
    """Tell whether the measurements determine all coefficients of the expansion."""
    # b in ms/um^2: all columns of the design are then of order 1 and its numerical rank has a meaning
    scaled = replace(protocol, bvals=protocol.bvals / 1000.0, b0_threshold=protocol.b0_threshold / 1000.0)
    design = design_matrix(scaled, model)
    return bool(np.linalg.matrix_rank(design, tol=1e-3) >= design.shape[1])
