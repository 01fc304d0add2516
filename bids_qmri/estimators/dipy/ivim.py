"""Bi-exponential IVIM fits by dipy, for comparison. Signals (V, N), b in s/mm^2, D in mm^2/s.

Both are loops over voxels in dipy: about 120 (trust region) and 40
(VarPro, 8 at low signal) voxels per second on one thread, where `estimators.lsq` fits tens of thousands.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, FitResult, Status
from bids_qmri.estimators.dipy.measurements import scaling
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

IvimMethod = Literal["trr", "varpro"]

SPLIT = 200.0
"""b-value in s/mm^2 at which perfusion has decayed. dipy starts at 400, where sparse protocols have one b."""

UPPER = (np.inf, 1.0, 0.2, 0.005)
"""Upper bounds of S0, f, D*, D. dipy bounds f at 0.2, which livers exceed. Its lower bounds stay 0: it
starts D* from a mono-exponential fit and gives up where that start is out of bounds."""

LARGEST_B0 = 5.0
"""The lowest b-value in s/mm^2 that still stands for b = 0, which dipy asks for."""

log = logging.getLogger("bids_qmri")


def fit_ivim(
    signal: npt.ArrayLike,
    protocol: DiffusionProtocol,
    *,
    sigma: float | FloatArray | None = None,
    method: IvimMethod = "trr",
    seed: int = 0,
) -> FitResult:
    """Fit the bi-exponential model with dipy's IvimModel.

    Parameters
    ----------
    signal
        Magnitude signals, shape (V, N).
    protocol
        b-values; directions do not matter.
    sigma
        Not used: dipy's fits are unweighted.
    method
        ``"trr"``: two log-linear fits, then bounded trust-region least squares. ``"varpro"``: differential
        evolution of the exponents, then bounded least squares.
    seed
        Where the random numbers of VarPro start, in every voxel anew: results do not depend on the order.

    Returns
    -------
    FitResult
        Maps ``d``, ``dstar`` (mm^2/s), ``f`` (fraction), ``s0`` (unit of the signal). Status UNUSABLE where a
        measurement is not finite and positive, NOT_CONVERGED where dipy fell back on its log-linear fit and
        that lies out of bounds, AT_BOUND where f, D* or D lies at its bound.

    Raises
    ------
    InputError
        If there are fewer than four b-values or none near 0.

    References
    ----------
    Federau et al. 2012, doi:10.1148/radiol.12120584; Farooq et al. 2016 (VarPro), doi:10.1038/srep38927.
    """
    data = np.asarray(signal, dtype=np.float64)
    bvals = _with_zero(protocol.bvals)
    model = _model(method, bvals)
    parameters = np.full((4, len(data)), np.nan)
    status = np.full(len(data), Status.UNUSABLE, dtype=np.uint8)
    usable = np.isfinite(data).all(axis=1) & (data > 0).all(axis=1)
    scale = scaling(data[usable, int(bvals.argmin())])
    with warnings.catch_warnings():
        # dipy warns in every voxel that it gives up; the status map says the same
        warnings.simplefilter("ignore", UserWarning)
        for voxel in np.flatnonzero(usable):
            parameters[:, voxel] = _fit_voxel(model, scale * data[voxel], seed)
            status[voxel] = _status(parameters[:, voxel])
    parameters[0] /= scale
    s0, f, dstar, d = parameters
    slow, fast = np.exp(-np.outer(d, bvals)), np.exp(-np.outer(dstar, bvals))
    predicted = s0[:, None] * ((1.0 - f)[:, None] * slow + f[:, None] * fast)
    residual = np.sqrt(np.mean((data - predicted) ** 2, axis=1))
    return FitResult({"d": d, "dstar": dstar, "f": f, "s0": s0}, residual=residual, status=status)


def _with_zero(bvals: FloatArray) -> FloatArray:
    """Return b-values whose lowest one is 0, or say what is missing."""
    lowest = float(bvals.min())
    if lowest > LARGEST_B0 or np.unique(bvals).size < 4:
        raise InputError(
            f"b-values are {np.unique(bvals).round(1).tolist()}",
            field="bvals",
            needed=f"four different b-values, the lowest at most {LARGEST_B0:g} s/mm^2",
            fix="leave dipy out of --estimators",
        )
    if lowest > 0:
        log.info("b = %g s/mm^2 stands for b = 0 in dipy's IVIM fits", lowest)
    return np.where(bvals == lowest, 0.0, bvals)


def splits(bvals: FloatArray) -> tuple[float, float]:
    """Return the b-values in s/mm^2 from which D is fitted, and up to which S0 is.

    Both are 200 where at least two different b-values lie on either side (inclusive); otherwise the nearest
    b-value that leaves two.

    Examples
    --------
    >>> splits(np.array([0.0, 10, 20, 50, 100, 300, 600]))
    (200.0, 200.0)
    >>> splits(np.array([0.0, 10, 50, 100, 150]))
    (100.0, 200.0)
    """
    different = np.unique(bvals)
    return min(SPLIT, float(different[-2])), max(SPLIT, float(different[1]))


def _model(method: IvimMethod, bvals: FloatArray) -> Any:
    """Return dipy's model of a protocol."""
    from dipy.core.gradients import gradient_table

    if method not in ("trr", "varpro"):
        raise ValueError(f"IVIM fit {method!r} is neither 'trr' nor 'varpro'")
    # dipy wants directions but does not use them
    bvecs = np.where(bvals[:, None] > 0, [[1.0, 0.0, 0.0]], 0.0)
    table = gradient_table(bvals, bvecs=bvecs, b0_threshold=0.0)
    if method == "varpro":
        return _varpro_model()(table, bounds=([0.0] * 3, list(UPPER[1:])))
    from dipy.reconst.ivim import IvimModelTRR

    split_d, split_s0 = splits(bvals)
    return IvimModelTRR(table, split_b_D=split_d, split_b_S0=split_s0, bounds=([0.0] * 4, list(UPPER)))


def _varpro_model() -> Any:
    """Return dipy's VarPro model with its convex program solved in closed form."""
    from dipy.reconst.ivim import IvimModelVP

    class ClosedFormVarPro(IvimModelVP):  # type: ignore[misc]
        """One unknown, a quadratic and an interval: no need of dipy's optional cvxpy."""

        def cvx_fit(self, signal: FloatArray, phi: FloatArray) -> FloatArray:
            fast, slow = phi.T
            change = fast - slow
            f = float(change @ (signal - slow)) / float(change @ change)
            f = float(np.clip(f, 1.0 - 0.89, min(1.0 - 0.011, self.bounds[1][0])))
            return np.array([f, 1.0 - f])

    return ClosedFormVarPro


def _fit_voxel(model: Any, signal: FloatArray, seed: int) -> FloatArray:
    """Return S0, f, D*, D of one voxel, independent of the voxels before it."""
    state = np.random.get_state()  # noqa: NPY002 - differential evolution inside dipy reads the global state
    np.random.seed(seed)  # noqa: NPY002
    try:
        return np.asarray(model.fit(signal).model_params, dtype=np.float64)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _status(parameters: FloatArray) -> Status:
    upper = np.array(UPPER)
    if not np.isfinite(parameters).all() or np.any(parameters < 0) or np.any(parameters > upper):
        return Status.NOT_CONVERGED
    near = np.minimum(parameters, upper - parameters)[1:] <= 1e-6 * upper[1:]
    return Status.AT_BOUND if near.any() else Status.OK


@dataclass(frozen=True)
class DipyTrr(Estimator):
    """dipy's two log-linear fits, then bounded trust-region least squares."""

    label = "dipyTrr"
    description = (
        "Segmented log-linear fit followed by bounded trust-region least squares (dipy IvimModel, trr)."
    )
    reference = "Federau et al. 2012, doi:10.1148/radiol.12120584"
    own_limits = True
    single_images = True
    concurrent = False  # filters of warnings and the random state belong to the process

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        return fit_ivim(signal, cast("DiffusionProtocol", protocol), method="trr")


@dataclass(frozen=True)
class DipyVarpro(Estimator):
    """dipy's differential evolution on the exponents, then bounded least squares.

    Parameters
    ----------
    seed
        Where its random numbers start, in every voxel anew.
    """

    label = "dipyVarpro"
    description = (
        "Differential evolution on the exponents with variable projection, then bounded least squares "
        "(dipy IvimModel, VarPro)."
    )
    reference = "Farooq et al. 2016, doi:10.1038/srep38927"
    own_limits = True
    single_images = True
    concurrent = False  # filters of warnings and the random state belong to the process

    seed: int = 0

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        return fit_ivim(signal, cast("DiffusionProtocol", protocol), method="varpro", seed=self.seed)
