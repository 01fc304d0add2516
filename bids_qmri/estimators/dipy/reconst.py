"""The package's estimators behind dipy's interface: ``Model(...).fit(data, mask)`` on images of any shape.

For scripts and notebooks of dipy users. Not imported by the rest of the package, because it imports dipy.

>>> model = QmriModel("ivim", protocol, estimator="lsq")      # doctest: +SKIP
>>> fit = model.fit(data, mask)                               # doctest: +SKIP
>>> fit.params["d"], fit.predict()                            # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from dipy.reconst.base import ReconstFit, ReconstModel

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult, Status, get_estimator
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Bounds
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

BLOCK = 65_536
"""Voxels predicted at a time."""


class QmriModel(ReconstModel):  # type: ignore[misc]
    """One of the package's signal models with one of its estimators, as a dipy ReconstModel.

    Parameters
    ----------
    name
        A word of ``--models``.
    protocol
        What was played out. The flip angles of a `VfaProtocol` may be per voxel, in the order of the voxels
        inside the mask.
    estimator
        A label of the catalogue: ``"lsq"``, ``"mle"``, ``"bayes"``.
    sigma
        Noise standard deviation of a single image; None where it is estimated or not needed.
    bounds
        Limits by parameter name that replace those of the estimator, as on the command line.

    Attributes
    ----------
    gtab
        dipy's gradient table of a diffusion protocol with directions, else None.
    """

    def __init__(
        self,
        name: str,
        protocol: Protocol,
        *,
        estimator: str = "lsq",
        sigma: float | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        super().__init__(_gradient_table(protocol))
        self.forward = get_model(name)
        self._estimator = get_estimator(name, estimator)
        self.protocol, self.sigma = protocol, sigma
        self.bounds = {**self._estimator.limits(self.forward, {}, {}), **(bounds or {})}

    def fit(self, data: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> QmriFit:
        """Fit every voxel inside the mask.

        Parameters
        ----------
        data
            Signals, shape (..., N).
        mask
            True where to fit, shape (...); None fits all voxels.

        Raises
        ------
        InputError
            If mask and data do not fit together, or the estimator refuses the protocol.
        """
        signal = np.asarray(data, dtype=np.float64)
        inside = np.ones(signal.shape[:-1], bool) if mask is None else np.asarray(mask, dtype=bool)
        if inside.shape != signal.shape[:-1]:
            raise InputError(
                f"mask has shape {inside.shape} beside data of {signal.shape}",
                needed=f"shape {signal.shape[:-1]}",
            )
        result = self._estimator.fit(
            self.forward, signal[inside], self.protocol, sigma=self.sigma, bounds=self.bounds
        )
        return QmriFit(self, signal, inside, result)

    def predict(self, params: dict[str, FloatArray], *, protocol: Protocol | None = None) -> FloatArray:
        """Return the signals, shape (..., N), of maps of shape (...).

        Parameters
        ----------
        params
            Maps by name, as of a fit.
        protocol
            What to simulate; None for the protocol of the model.

        Raises
        ------
        InputError
            If a map is missing that the signal depends on.
        """
        played = self.protocol if protocol is None else protocol
        maps = {name: np.asarray(values, dtype=np.float64) for name, values in params.items()}
        flat = {name: values.ravel() for name, values in maps.items()}
        count = max((values.size for values in flat.values()), default=0)
        signal = np.empty((count, played.n_measurements))
        for first in range(0, count, BLOCK):
            part = slice(first, first + BLOCK)
            found = self.forward.predict({name: v[part] for name, v in flat.items()}, played.take(part))
            if found is None:
                needed = f"all maps of a fit of {self.forward.name}"
                raise InputError(f"{', '.join(params) or 'none'} given", field="params", needed=needed)
            signal[part] = found
        return signal.reshape(*next(iter(maps.values())).shape, -1)


class QmriFit(ReconstFit):  # type: ignore[misc]
    """Maps of a fitted image, as a dipy ReconstFit.

    Attributes
    ----------
    params, sd
        Maps and standard deviations by name, each of the shape of the mask; 0 outside it, NaN where the
        signal was unusable.
    residual
        Root mean square difference between signal and model, shape of the mask.
    status
        One `estimators.base.Status` per voxel, uint8, shape of the mask.
    determined
        Where the data determine a parameter, by name, bool, each of the shape of the mask.
    """

    def __init__(
        self, model: QmriModel, data: FloatArray, mask: npt.NDArray[np.bool_], result: FitResult
    ) -> None:
        super().__init__(model, data)
        self.mask = mask
        self.params = {name: _spread(values, mask) for name, values in result.maps.items()}
        self.sd = {name: _spread(values, mask) for name, values in result.sd.items()}
        self.residual = _spread(result.residual, mask)
        self.status = np.full(mask.shape, Status.OUTSIDE, dtype=np.uint8)
        self.status[mask] = result.status
        self.determined = {
            name: _spread(known, mask).astype(bool) for name, known in result.determined.items()
        }

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the maps."""
        return self.mask.shape

    def predict(self, protocol: Protocol | None = None) -> FloatArray:
        """Return the signals of the fit, shape (..., N); 0 outside the mask.

        Parameters
        ----------
        protocol
            What to simulate; None for the protocol that was fitted.
        """
        inside = {name: values[self.mask] for name, values in self.params.items()}
        signal = self.model.predict(inside, protocol=protocol)
        image = np.zeros((*self.mask.shape, signal.shape[-1]))
        image[self.mask] = signal
        return image


def _spread(values: FloatArray | npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_]) -> FloatArray:
    """Put the values of the voxels inside a mask into an image of zeros."""
    image = np.zeros(mask.shape)
    image[mask] = values
    return image


def _gradient_table(protocol: Protocol) -> Any:
    """Return dipy's gradient table of a protocol that has one."""
    if getattr(protocol, "bvecs", None) is None:
        return None
    protocol = cast("DiffusionProtocol", protocol)
    from dipy.core.gradients import gradient_table

    return gradient_table(protocol.bvals, bvecs=protocol.bvecs, b0_threshold=protocol.b0_threshold)
