"""What every estimator is, what it returns, and the meaning of the numbers in its status map.

Estimators are frozen objects; their options are their fields. `Estimator.fit` is the one call that all of
them answer: it checks its arguments and hands them to `_fit` of the object that serves the model, which may
be one of the model's own technique (`catalogue`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.errors import InputError
from bids_qmri.estimators.call import require_fittable
from bids_qmri.estimators.determined import determined_by_data
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import EVEN, Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray


class Status(IntEnum):
    """What happened in a voxel."""

    OUTSIDE = 0
    OK = 1
    AT_BOUND = 2
    NOT_CONVERGED = 3
    UNUSABLE = 4
    OUT_OF_RANGE = 5
    UNDETERMINED = 6


STATUS_MEANING = {
    Status.OUTSIDE: "outside the mask",
    Status.OK: "estimated",
    Status.AT_BOUND: "estimated, a parameter lies at its bound",
    Status.NOT_CONVERGED: "not converged",
    Status.UNUSABLE: "signal not finite or unusable",
    Status.OUT_OF_RANGE: "outside what the network was trained for, or beyond limits: value of least squares",
    Status.UNDETERMINED: "estimated, no parameter determined by the data",
}

ESTIMATED = (Status.OK, Status.AT_BOUND, Status.UNDETERMINED)
"""Where there is an estimate, be it at a bound or hardly told by the data."""


@dataclass(frozen=True)
class FitResult:
    """Maps of V voxels.

    Parameters
    ----------
    maps
        Estimates by parameter name, each (V,), in the parameter's unit; NaN where `status` is UNUSABLE.
    sd
        Standard deviations by parameter name, each (V,), same unit; NaN where they cannot be known.
    residual
        Root mean square difference between signal and model, (V,), in the unit of the signal.
    status
        One `Status` per voxel, (V,), uint8.
    notes
        What a person should know about all of them.
    determined
        Where the data determine a parameter, by its name, each (V,), bool (`determined.determined_by_data`);
        those that nobody can tell it of are left out.
    """

    maps: dict[str, FloatArray]
    sd: dict[str, FloatArray] = field(default_factory=dict)
    residual: FloatArray = field(default_factory=lambda: np.empty(0))
    status: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
    notes: tuple[str, ...] = ()
    determined: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)


class Estimator(ABC):
    """From signals to parameters. Subclasses are frozen dataclasses whose fields are their options.

    Attributes
    ----------
    label
        What file names carry (``desc-<label>``).
    description, reference
        What sidecars say of it: one sentence; authors, year and doi, or the section of a text.
    needs_noise
        Whether it cannot do without a noise level.
    has_prior
        Whether it expects the truth in the range of the parameters' priors, unless told otherwise.
    own_limits
        Whether it keeps limits of its own, whatever it is told.
    needs_file
        Whether it is nothing without the file of a network.
    neighbours
        Whether it fits voxels together with those around them, which takes a whole image.
    own_prior
        Whether it finds out by itself where within its limits the truth is.
    single_images
        Whether it fits single images where directions could be averaged: a Rician likelihood does not hold
        for averages.
    concurrent
        Whether several threads may fit voxels at a time.
    """

    label: ClassVar[str]
    description: ClassVar[str]
    reference: ClassVar[str]
    needs_noise: ClassVar[bool] = False
    has_prior: ClassVar[bool] = False
    own_limits: ClassVar[bool] = False
    needs_file: ClassVar[bool] = False
    neighbours: ClassVar[bool] = False
    own_prior: ClassVar[bool] = False
    single_images: ClassVar[bool] = False
    concurrent: ClassVar[bool] = True

    def fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        *,
        sigma: float | FloatArray | Noise | None = None,
        bounds: Bounds | None = None,
        prior: Prior | None = None,
    ) -> FitResult:
        """Estimate the parameters of every voxel.

        Parameters
        ----------
        model
            Forward model.
        signal
            Measured signals, shape (V, N). Voxels that cannot be fitted (not finite, zero everywhere,
            negative where magnitudes are meant) get status UNUSABLE and NaN.
        protocol
            What was played out; shared by all voxels or with a voxel axis.
        sigma
            Noise standard deviation of a single image in the unit of the signal, one number or (V,), or floor
            and scatter where they differ. None takes it from the residuals where standard deviations alone
            depend on it; estimators that need one estimate it from all the voxels given: give it where a scan
            is fitted in parts.
        bounds
            Limits that replace the model's physical ones; equal limits fix a parameter. For estimators with a
            prior, the range in which the truth is expected.
        prior
            Where within these limits it is expected; None: evenly. Estimators without a prior do not ask.

        Returns
        -------
        FitResult
            Maps of the parameters and of the quantities derived from them, with standard deviations, where
            the data determine them, residual and status.

        Raises
        ------
        InputError
            If the estimator does not serve the model, the protocol is not one of the model or its shape does
            not fit the signals, there are fewer measurements than free parameters, limits cannot be meant, or
            the noise level is not positive or cannot be estimated.
        """
        serving = self.serving(model)
        noise = sigma if sigma is None or isinstance(sigma, Noise) else Noise(sigma, sigma)
        require_fittable(model, protocol, signal, noise, bounds)
        expected = prior if prior is not None and self.has_prior else EVEN
        return judged(serving._fit(model, signal, protocol, noise, bounds, expected), model, bounds, expected)

    @abstractmethod
    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        """Estimate; arguments as of `fit`, checked."""

    def serving(self, model: Model) -> Estimator:
        """Return the estimator of this label that serves a model: itself, or one of the model's technique.

        Parameters
        ----------
        model
            Which is fitted.

        Raises
        ------
        InputError
            If the model is one of the catalogue and has none of this label.
        """
        if model.name not in catalogue.model_names():
            return self
        kind = estimator_class(model.name, self.label)
        return self if kind is type(self) else kind(**_options(kind, self._fields()))

    def _fields(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]

    def network_file(self, model: Model) -> Path | None:
        """Return the file of the trained network that it uses for a model, None if it uses none.

        Parameters
        ----------
        model
            Which is fitted.
        """
        return None

    def limits(self, model: Model, given: Bounds, asked: Bounds) -> Bounds:
        """Return the limits that replace the model's own: of the estimator, and over them those asked for.

        Parameters
        ----------
        model
            What is fitted.
        given
            Limits that the series brings with it, such as how late a bolus may arrive.
        asked
            Limits that a person wants. What the model fixes stays fixed, unless it may be set.
        """
        if self.own_limits:
            return {}
        bounds = dict(model.prior(given)) if self.has_prior else dict(given)
        free = {p.name for p in model.parameters if p.bounds[0] < p.bounds[1] or p.widest is not None}
        return bounds | {name: limits for name, limits in asked.items() if name in free}

    def prepare(self, model: Model, protocol: Protocol) -> Selection | None:
        """Return which measurements it takes of a protocol, None for all of them.

        Parameters
        ----------
        model
            Which is fitted.
        protocol
            What was played out.

        Raises
        ------
        InputError
            If it cannot be used for this protocol, such as a network that was trained for another one.
        """
        return None

    def untrained(self, model: Model, protocol: Protocol, bounds: Bounds | None = None) -> list[str]:
        """Return in words what of a protocol, or of limits, lies outside what it was trained for.

        Parameters
        ----------
        model
            Which is fitted.
        protocol
            What was played out.
        bounds
            Limits by name, in the unit of the parameter.

        Raises
        ------
        InputError
            If it cannot be used for this protocol at all.
        """
        return []

    def expected(self, model: Model) -> Protocol | None:
        """Return the only protocol that it can be used for, None if there are more.

        Parameters
        ----------
        model
            Which is fitted.
        """
        return None

    def remarks(self, maps: Mapping[str, FloatArray], sigma: float | None) -> tuple[str, ...]:
        """Return what to say of all voxels of a scan together, given their maps, each (V,).

        Parameters
        ----------
        maps
            Estimates by name in their units, each (V,).
        sigma
            Noise level of a single image, None if it is not known.
        """
        return ()


@dataclass(frozen=True, eq=False)
class Selection:
    """Some of the measurements of a protocol.

    Parameters
    ----------
    kept
        Their indices, (M,).
    protocol
        Their protocol.
    note
        What a person should know of those left out; empty if none are.
    """

    kept: npt.NDArray[np.intp]
    protocol: Protocol
    note: str = ""


def estimator_class(model_name: str, label: str) -> type[Estimator]:
    """Return the class that serves a model under a label.

    Raises
    ------
    InputError
        If there is none.
    """
    technique, entry = catalogue.find_entry(model_name)
    if label not in entry.estimators:
        raise InputError(
            f"{model_name} has no estimator {label!r}",
            field="estimator",
            needed=f"one of {', '.join(entry.estimators)}",
        )
    own = technique.estimators.get(label)
    found: type[Estimator] = catalogue.load(
        f"{technique.package}.{own}" if own else catalogue.ESTIMATORS[label]
    )
    return found


OPTIONS = frozenset({"network", "threads", "seed"})
"""What estimators may be told; each takes those that it has."""


def get_estimator(model_name: str, label: str, **options: Any) -> Estimator:
    """Return the estimator that serves a model under a label.

    Parameters
    ----------
    model_name
        A word of ``--models``.
    label
        One of the labels of that model.
    options
        Such as ``network``, ``threads`` and ``seed``; an estimator takes those that it has.

    Raises
    ------
    InputError
        If the model has no estimator of that label.
    """
    kind = estimator_class(model_name, label)
    if unknown := sorted(options.keys() - OPTIONS):
        raise InputError(
            f"there is no option {', '.join(unknown)}",
            field="options of estimators",
            needed=", ".join(sorted(OPTIONS)),
        )
    if options.get("threads", 1) < 1:
        raise InputError(f"is {options['threads']}", field="threads", needed="1 or more")
    return kind(**_options(kind, options))


def _options(kind: type[Estimator], given: Mapping[str, Any]) -> dict[str, Any]:
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    return {name: value for name, value in given.items() if name in known}


def judged(found: FitResult, model: Model, bounds: Bounds | None, prior: Prior = EVEN) -> FitResult:
    """Say what the data determine, and in the status where they determine nothing.

    Asked by `Estimator.fit`, and again by whoever changes estimates or standard deviations afterwards.

    Parameters
    ----------
    found
        What was found.
    model, bounds, prior
        As of `Estimator.fit`.
    """
    determined = determined_by_data(model, bounds, found.maps, found.sd, prior)
    fitted = [determined[p.name] for p in model.parameters if p.name in determined]
    if not fitted:
        return replace(found, determined=determined)
    nothing = ~np.any(fitted, axis=0)
    status = np.where(found.status == Status.UNDETERMINED, Status.OK, found.status)
    status[np.isin(found.status, ESTIMATED) & nothing] = Status.UNDETERMINED
    return replace(found, status=status.astype(np.uint8), determined=determined)
