"""Diffusion tensor and diffusion kurtosis tensor of every voxel: dipy's fits, with standard deviations.

Signals (V, N), b in s/mm^2, diffusivities in mm^2/s. The linear fits solve normal equations of blocks of
voxels (`normal_equations`) and have dipy's numbers; the nonlinear ones are dipy's own loops. Measurements
above the largest b of the model are left out. Measured on one thread with 66 measurements, a voxel with all
maps and standard deviations: `benchmarks/results/tensor.md`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, FitResult, Status
from bids_qmri.estimators.dipy.measurements import (
    Expansion,
    design_matrix,
    gradient_table,
    lowest,
    scaling,
    selected,
    with_signal,
)
from bids_qmri.estimators.dipy.normal_equations import Coefficients, NormalEquations
from bids_qmri.estimators.dipy.tensor_scalars import elements_of, params_of, scalars
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray


@dataclass(frozen=True, eq=False)
class Scheme:
    """The measurements of a fit, and what is computed of them once.

    Parameters
    ----------
    protocol
        Measurements within the largest b of the model.
    order
        Highest power of b: 1 for the tensor, 2 for kurtosis.
    design
        dipy's design matrix, (N, P).
    equations
        The least-squares problems of that design.
    """

    protocol: DiffusionProtocol
    order: int
    design: FloatArray
    equations: NormalEquations

    @classmethod
    def of(cls, protocol: DiffusionProtocol, model: Expansion) -> Scheme:
        """Prepare the fits of a model."""
        design = design_matrix(protocol, model)
        return cls(protocol, model.order, design, NormalEquations(design))

    @property
    def floor(self) -> float:
        """Dipy's own smallest eigenvalue in mm^2/s."""
        return 1e-6 / -float(self.design.min())

    def dipy_model(self, **options: Any) -> Any:
        """Return dipy's model of these measurements."""
        from dipy.reconst.dki import DiffusionKurtosisModel
        from dipy.reconst.dti import TensorModel

        made = {1: TensorModel, 2: DiffusionKurtosisModel}[self.order]
        return made(gradient_table(self.protocol), return_S0_hat=True, **options)

    def weighted_by_dipy(self, signal: FloatArray) -> FloatArray:
        """Return weighted solutions, (V, P), of single voxels by singular values; NaN without one."""
        from dipy.reconst.dki import ls_fit_dki
        from dipy.reconst.dti import wls_fit_tensor

        solved = np.full((len(signal), self.design.shape[1]), np.nan)
        inverse = np.linalg.pinv(self.design)
        for voxel, values in enumerate(signal):
            try:
                if self.order == 1:
                    found, _ = wls_fit_tensor(self.design, values[None], return_lower_triangular=True)
                else:
                    found, _ = ls_fit_dki(self.design, values, inverse, return_lower_triangular=True)
            except np.linalg.LinAlgError:
                continue
            solved[voxel] = found
        return solved


LEAST_SIGNAL = 1e-4
"""dipy's floor of a measurement, `dipy.reconst.dti.MIN_POSITIVE_SIGNAL`."""

ERROR_BARS = "Standard deviations are the root mean square of scatter and expected bias."

LARGEST_EIGENVALUE = 0.01
"""mm^2/s, three times free water: dipy's searches that end beyond it have left the data."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """The voxels of a block.

    Parameters
    ----------
    params
        dipy's parameters (`tensor_scalars`), (V, 12) or (V, 27).
    elements
        What the logarithm of the signal is linear in, of the same tensors, (V, P - 1).
    s0
        Signal without weighting, (V,).
    covariance
        Covariance of the coefficients, (V, P, P); NaN where it cannot be known.
    bias
        By how much the expectation of the coefficients exceeds the truth, (V, P).
    lost
        Where a search ran away, (V,); None: nothing was searched.
    """

    params: FloatArray
    elements: FloatArray
    s0: FloatArray
    covariance: FloatArray
    bias: FloatArray
    lost: npt.NDArray[np.bool_] | None = None


Solver = Callable[[FloatArray, "FloatArray | None"], Fitted]
"""From signals above 0, (V, N), and their noise, (V,), to a fit."""


@dataclass(frozen=True)
class TensorFit(Estimator):
    """What the four fits share.

    A measurement of zero counts as the least positive one of its voxel: dipy's own floor of 1e-4 would
    outweigh all others in the logarithm. Status is UNUSABLE where a measurement is not finite or b = 0 has no
    signal, AT_BOUND where an eigenvalue was raised to dipy's smallest or a measurement of zero was raised.
    Standard deviations are the root mean square of the scatter, of first order in the noise, and of the
    bias that Gaussian noise is expected to give (`normal_equations`, `Cumulants.deviations`), which no map
    is corrected for. They do not tell the bias of magnitudes by their noise floor. `sigma` None takes the
    noise from the residuals of each voxel.
    """

    own_limits = True

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        if not isinstance(model, Expansion):
            raise InputError(
                f"{model.name} is not a power series of b", field="model", needed="a tensor or kurtosis model"
            )
        data = np.asarray(signal, dtype=np.float64)
        keep, used = selected(cast("DiffusionProtocol", protocol), model)
        scheme = Scheme.of(used, model)
        reference, size = lowest(used), scheme.equations.block
        scale = scaling(data[:, np.flatnonzero(keep)[reference]])
        sigma = None if noise is None else noise.spread(len(data)).scatter * scale
        solve = self.solver(scheme, sigma)
        result = _blank(model, len(data))
        for first in range(0, len(data), size):
            measured = data[first : first + size]
            measured = scale * (measured if keep.all() else measured[:, keep])
            usable = with_signal(measured, reference)
            if not usable.any():
                continue
            # Another one in their place: products of matrices round by the number of their rows.
            measured[~usable] = measured[np.argmax(usable)]
            voxels = slice(first, first + len(measured))
            with np.errstate(all="ignore"):
                fitted = solve(_without_zeros(measured), None if sigma is None else sigma[voxels])
            _describe(result, voxels, usable, model, scheme, measured, fitted)
        for values in (result.maps["s0"], result.sd["s0"], result.residual):
            values /= scale
        return result

    @abstractmethod
    def solver(self, scheme: Scheme, sigma: FloatArray | None) -> Solver:
        """Return the function from signals above 0, (V, N), and their noise, (V,) or None, to a fit.

        Raises
        ------
        InputError
            If the scheme does not allow it.
        """


@dataclass(frozen=True)
class Ols(TensorFit):
    """Ordinary least squares of the logarithm."""

    label = "ols"
    description = f"Ordinary linear least squares on the logarithm of the signal, as in dipy. {ERROR_BARS}"
    reference = "Basser et al. 1994, doi:10.1006/jmrb.1994.1037"

    def solver(self, scheme: Scheme, sigma: FloatArray | None) -> Solver:
        def solve(signal: FloatArray, noise: FloatArray | None) -> Fitted:
            return _linear(scheme.equations.ordinary(signal, noise), scheme)

        return solve


@dataclass(frozen=True)
class Wls(TensorFit):
    """Least squares of the logarithm, weighted by the squared signal of an ordinary fit."""

    label = "wls"
    description = (
        "Linear least squares on the logarithm of the signal, weighted by the squared signal of an ordinary "
        f"fit, as in dipy. {ERROR_BARS}"
    )
    reference = "Chung et al. 2006, doi:10.1016/j.neuroimage.2006.07.001"

    def solver(self, scheme: Scheme, sigma: FloatArray | None) -> Solver:
        def solve(signal: FloatArray, noise: FloatArray | None) -> Fitted:
            found = scheme.equations.weighted(signal, noise)
            if found.poor.any():
                found.values[found.poor] = scheme.weighted_by_dipy(signal[found.poor])
            return _linear(found, scheme)

        return solve


@dataclass(frozen=True)
class Nlls(TensorFit):
    """Least squares of the signal, voxel by voxel in dipy."""

    label = "nlls"
    description = (
        "Nonlinear least squares on the signal, started from the ordinary linear fit (dipy). " + ERROR_BARS
    )
    reference = "Koay et al. 2006, doi:10.1016/j.jmr.2006.06.020"

    def solver(self, scheme: Scheme, sigma: FloatArray | None) -> Solver:
        return _nonlinear(scheme, scheme.dipy_model(fit_method="NLLS"))


@dataclass(frozen=True)
class Restore(TensorFit):
    """Robust nonlinear least squares, voxel by voxel in dipy.

    The noise that tells outliers is the median of `sigma`; without it, it is estimated in every voxel from
    the median absolute residual.
    """

    label = "restore"
    description = (
        "Robust nonlinear least squares with rejection of outlying measurements, RESTORE (dipy). "
        + ERROR_BARS
    )
    reference = "Chang et al. 2005, doi:10.1002/mrm.20426"

    def prepare(self, model: Model, protocol: Protocol) -> None:
        """Refuse a protocol with too few measurements."""
        if isinstance(model, Expansion):
            _, used = selected(cast("DiffusionProtocol", protocol), model)
            _require_spare(used.n_measurements, len(model.parameters))

    def solver(self, scheme: Scheme, sigma: FloatArray | None) -> Solver:
        _require_spare(*scheme.design.shape)
        noise = None if sigma is None else float(np.median(sigma))
        return _nonlinear(scheme, scheme.dipy_model(fit_method="RESTORE", sigma=noise))


def _require_spare(count: int, size: int) -> None:
    if count <= size + 1:
        raise InputError(
            f"{count} measurements leave none to reject",
            field="estimator",
            needed=f"more than {size + 1} measurements for RESTORE",
            fix="choose wls",
        )


def _linear(found: Coefficients, scheme: Scheme) -> Fitted:
    params, elements = params_of(found.values, scheme.floor)
    return Fitted(params, elements, np.exp(-found.values[:, -1]), found.covariance, found.bias)


def _nonlinear(scheme: Scheme, dipy_model: Any) -> Solver:
    """Return the fit of one of dipy's loops over voxels."""

    def solve(signal: FloatArray, noise: FloatArray | None) -> Fitted:
        fit = dipy_model.fit(signal)
        params, s0 = np.asarray(fit.model_params), np.reshape(fit.model_S0, -1)
        kept = np.asarray(dipy_model.extra.get("robust", np.ones(signal.shape))) > 0
        elements = elements_of(params)
        coefficients = np.column_stack([elements, -np.log(s0)])
        found = scheme.equations.nonlinear(signal, coefficients, kept, noise)
        return Fitted(params, elements, s0, found.covariance, found.bias, params[:, 0] > LARGEST_EIGENVALUE)

    return solve


def _without_zeros(signal: FloatArray) -> FloatArray:
    """Raise what is not positive to the voxel's least positive signal, and all to dipy's own least."""
    if signal.min() >= LEAST_SIGNAL:
        return signal
    least = np.min(signal, axis=1, initial=np.inf, where=signal > 0, keepdims=True)
    return np.asarray(np.maximum(signal, np.maximum(least, LEAST_SIGNAL)))


def _blank(model: Model, voxels: int) -> FitResult:
    """Return maps of NaN."""
    names = [p.name for p in (*model.parameters, *model.derived)]
    return FitResult(
        {name: np.full(voxels, np.nan) for name in names},
        {name: np.full(voxels, np.nan) for name in names},
        np.full(voxels, np.nan),
        np.full(voxels, Status.UNUSABLE, dtype=np.uint8),
    )


def _describe(
    result: FitResult,
    voxels: slice,
    usable: npt.NDArray[np.bool_],
    model: Any,
    scheme: Scheme,
    measured: FloatArray,
    fitted: Fitted,
) -> None:
    """Write maps, standard deviations, residual and status of the usable voxels of a block."""
    with np.errstate(all="ignore"):
        elements = fitted.elements
        maps = scalars(fitted.params) | {"s0": fitted.s0}
        good = usable & np.isfinite(np.sum(list(maps.values()), axis=0))
        maps |= {p.name: column for p, column in zip(model.parameters, elements.T, strict=False)}
        rest = measured - fitted.s0[:, None] * np.exp(elements @ scheme.design[:, :-1].T)
        residual = np.sqrt(np.einsum("vn,vn->v", rest, rest) / rest.shape[1])
        raised = ~(fitted.params[:, 2] > scheme.floor)
        spread = _deviations(model, maps, fitted, raised)
    touched = raised | (measured <= 0).any(axis=1) if measured.min() <= 0 else raised
    result.status[voxels] = np.where(good, np.where(touched, Status.AT_BOUND, Status.OK), Status.UNUSABLE)
    if fitted.lost is not None:
        result.status[voxels][good & fitted.lost] = Status.NOT_CONVERGED
    result.residual[voxels] = residual
    for given, written in ((maps, result.maps), (spread, result.sd)):
        for name, values in given.items():
            written[name][voxels] = values
    for written in (result.maps, result.sd, {"": result.residual}):
        for values in written.values():
            values[voxels][~good] = np.nan


def _deviations(
    model: Any,
    maps: dict[str, FloatArray],
    fitted: Fitted,
    raised: npt.NDArray[np.bool_],
) -> dict[str, FloatArray]:
    """Return standard deviations by name, NaN where a value was raised or clipped."""
    values, vectors = fitted.params[:, :3], fitted.params[:, 3:12].reshape(-1, 3, 3)
    covariance, bias = fitted.covariance[:, :-1, :-1], fitted.bias[:, :-1]
    derived = model.deviations(fitted.elements, values, vectors, covariance, bias)
    own = np.sqrt(np.einsum("vii->vi", fitted.covariance) + fitted.bias**2)
    both = np.concatenate([own[:, :-1], derived], axis=1)
    both[raised] = np.nan
    sd = dict(zip([p.name for p in (*model.parameters[:-1], *model.derived)], both.T, strict=True))
    for p in model.derived:
        # 0 is what dipy writes where it computes nothing.
        clipped = (maps[p.name] == 0.0) | (maps[p.name] == p.bounds[0]) | (maps[p.name] == p.bounds[1])
        sd[p.name][clipped] = np.nan
    sd["s0"] = fitted.s0 * own[:, -1]
    return sd
