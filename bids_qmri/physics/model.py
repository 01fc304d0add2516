"""What a signal model is: parameters as data, and pure functions from parameters to signal.

Array convention of all models: parameters `theta` have shape (P, V), signals (N, V), Jacobians (P, N, V).
Voxels run along the last axis, so that one numpy operation works on a contiguous block of voxels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray


@dataclass(frozen=True)
class Parameter:
    """One quantity that a model explains the signal with.

    Parameters
    ----------
    name
        Lower-case name used in code and in FitResult: ``"t1"``.
    symbol
        How the field writes it: ``"T1"``.
    unit
        CMIXF-12 unit inside the package and in files alike: ``"s"``, ``"mm^2/s"``, ``"1/min"``, ``"1"``.
    bounds
        Physical limits that every estimator keeps unless told otherwise.
    training
        Range in which networks are trained and accuracy is reported.
    description
        One sentence for sidecars and reports.
    prior
        What tissue can be at 1.5 to 7 T: limits that estimators with a prior take unless told otherwise. None
        leaves the physical ones.
    typical
        Value of which networks read limits as multiples.
    logarithmic
        Equal ratios matter equally.
    nodes
        Nodes along it of the coarse grid that looks for maxima; None leaves it to the number of parameters.
    widest
        Limits that a person may set where they reach beyond `bounds`, such as those of a delay that is
        otherwise fixed; None: none do.
    internal
        For fits, not for files.
    """

    name: str
    symbol: str
    unit: str
    bounds: tuple[float, float]
    training: tuple[float, float]
    description: str
    prior: tuple[float, float] | None = None
    typical: float = 1.0
    logarithmic: bool = False
    nodes: int | None = None
    widest: tuple[float, float] | None = None
    internal: bool = False


@dataclass(frozen=True)
class Setting:
    """What a model is told beside the protocol, the same in all voxels.

    Parameters
    ----------
    name
        Field of the model, and the word after the model's in ``--set noddi.d_par=…``.
    unit
        CMIXF-12 unit.
    limits
        Values that can be meant; others are in another unit.
    key
        Name in sidecars.
    description
        What it is.
    """

    name: str
    unit: str
    limits: tuple[float, float]
    key: str
    description: str


Bounds = Mapping[str, tuple[float, float]]
"""Limits by parameter name that replace the physical ones; equal limits fix a parameter."""


class Model(ABC):
    """Forward physics: parameters to signal for a protocol. No I/O, no fitting.

    The publication of the equation is in the model's table of outputs, which sidecars and pages read.

    Attributes
    ----------
    name
        The word of ``--models``.
    protocol
        Class of the protocols that it explains.
    parameters
        The P fitted parameters, in the order of `theta`.
    amplitude
        Name of the parameter that the signal is proportional to, or None.
    linear
        Further parameters that the signal is linear in, all others being fixed.
    derived
        Quantities computed from fitted ones (`derive`), such as Ktrans = kep * ve.
    settings
        What it is told beside the protocol; fields of a frozen dataclass.
    magnitude
        Whether signals are magnitudes of images, with Rician noise, or something computed from them.
    signed
        Whether magnitudes got their sign back from phases, so that their noise is Gaussian.
    main
        Maps that are sent to a scanner unless others are asked for.
    carried
        Internal parameters that further maps are computed from (``maps.complete`` of its folder).
    on_request
        Why it is fitted only if asked for; empty: wherever it is accepted.
    """

    name: ClassVar[str]
    protocol: ClassVar[type[Protocol]]
    parameters: ClassVar[tuple[Parameter, ...]]
    amplitude: ClassVar[str | None] = None
    linear: ClassVar[tuple[str, ...]] = ()
    derived: ClassVar[tuple[Parameter, ...]] = ()
    settings: ClassVar[tuple[Setting, ...]] = ()
    magnitude: ClassVar[bool] = True
    signed: ClassVar[bool] = False
    main: ClassVar[tuple[str, ...]] = ()
    carried: ClassVar[tuple[str, ...]] = ()
    on_request: ClassVar[str] = ""

    @abstractmethod
    def signal(self, theta: FloatArray, protocol: Any) -> FloatArray:
        """Return the noise-free signal, shape (N, V), of parameters of shape (P, V).

        Parameters
        ----------
        theta
            Parameters in the units of the model, shape (P, V).
        protocol
            What was played out.
        """

    @abstractmethod
    def signal_and_jacobian(self, theta: FloatArray, protocol: Any) -> tuple[FloatArray, FloatArray]:
        """Return the signal, shape (N, V), and its analytic derivatives, shape (P, N, V).

        Parameters
        ----------
        theta
            Parameters in the units of the model, shape (P, V).
        protocol
            What was played out.
        """

    @abstractmethod
    def start(self, signal: FloatArray, protocol: Any, lower: FloatArray, upper: FloatArray) -> FloatArray:
        """Return a first estimate, shape (P, V), within limits of shape (P,), for signals (N, V).

        Parameters
        ----------
        signal
            Measured signals, shape (N, V).
        protocol
            What was played out.
        lower, upper
            Limits of the parameters in their units, shape (P,).
        """

    def derive(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return derived quantities, shape (Q, V), and their derivatives by theta, shape (Q, P, V).

        Parameters
        ----------
        theta
            Parameters in the units of the model, shape (P, V).
        """
        return np.empty((0, theta.shape[1])), np.empty((0, *theta.shape))

    def obstacle(self, protocol: Protocol) -> str:
        """Return what a protocol lacks for the model, in words for a person; empty if nothing.

        Parameters
        ----------
        protocol
            What was played out.
        """
        return ""

    def mend(self, protocol: Protocol) -> str:
        """Return what mends an obstacle that files can do away with; empty if leaving the scan out is all.

        Parameters
        ----------
        protocol
            What was played out.
        """
        return ""

    def claims(self, protocol: Protocol) -> bool:
        """Tell whether a protocol was made for this model, so that others are fitted only if asked for.

        Parameters
        ----------
        protocol
            What was played out.
        """
        return False

    def not_meant(self, protocol: Protocol) -> str:
        """Return why a protocol that can be fitted was not made for this model; empty if it was.

        Parameters
        ----------
        protocol
            What was played out.
        """
        return self.on_request

    def predict(self, maps: Mapping[str, FloatArray], protocol: Any) -> FloatArray | None:
        """Return the signals, (V, N), that maps (V,) explain; None if they do not hold all it takes.

        Parameters
        ----------
        maps
            Estimates by name in their units, each (V,).
        protocol
            What was played out.
        """
        if not all(p.name in maps for p in self.parameters):
            return None
        theta = np.stack([np.asarray(maps[p.name], dtype=np.float64) for p in self.parameters])
        return np.asarray(self.signal(theta, protocol).T)

    def draw(self, count: int, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Return maps, (V,), of simulated voxels, uniform over the range in which accuracy is reported.

        Parameters
        ----------
        count
            Voxels, V.
        rng
            Random numbers.
        """
        ranges = ((p, p.training if p.bounds[0] < p.bounds[1] else p.bounds) for p in self.parameters)
        return {p.name: rng.uniform(*limits, count) for p, limits in ranges}

    def with_settings(self, settings: Mapping[str, float]) -> Self:
        """Return the model with other settings.

        Parameters
        ----------
        settings
            Values by name, in the units of `docs/models.md`.

        Raises
        ------
        InputError
            If it has no such setting, or the value cannot be meant.
        """
        known = {setting.name: setting for setting in self.settings}
        for name, value in settings.items():
            if name not in known:
                raise InputError(
                    f"{self.name} has no setting {name!r}",
                    field=f"{self.name}.{name}",
                    needed=f"one of {', '.join(known)}" if known else "nothing: it has no settings",
                )
            low, high = known[name].limits
            if not (isinstance(value, int | float) and math.isfinite(value) and low <= value <= high):
                raise InputError(
                    f"is {value!r}",
                    field=f"{self.name}.{name}",
                    needed=f"{low:g} to {high:g} {known[name].unit}",
                )
        assert is_dataclass(self) or not settings
        return replace(self, **settings) if settings else self  # type: ignore[type-var]

    def told(self) -> dict[str, float]:
        """Return the settings by their names in sidecars."""
        return {setting.key: getattr(self, setting.name) for setting in self.settings}

    def limits(self, bounds: Bounds | None = None) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper limits, each of shape (P,), with `bounds` replacing the physical ones.

        Parameters
        ----------
        bounds
            Limits by name, in the unit of the parameter; None keeps the physical ones.

        Raises
        ------
        ValueError
            A name is that of no parameter, or a lower limit is above the upper one.
        """
        box = {p.name: p.bounds for p in self.parameters} | dict(bounds or {})
        unknown = set(box) - {p.name for p in self.parameters}
        if unknown:
            raise ValueError(
                f"{self.name} has no parameter {sorted(unknown)}; it has {[p.name for p in self.parameters]}"
            )
        limits = np.array([box[p.name] for p in self.parameters], dtype=np.float64)
        if np.any(limits[:, 0] > limits[:, 1]):
            raise ValueError(f"a lower bound of {self.name} is above its upper bound: {box}")
        return limits[:, 0], limits[:, 1]

    def settable(self) -> dict[str, tuple[float, float]]:
        """Return the widest limits that a person may set, by parameter; amplitudes have none."""
        return {
            p.name: p.widest or p.bounds
            for p in self.parameters
            if p.name != self.amplitude and not p.internal
        }

    def prior(self, limits: Bounds | None = None) -> Bounds:
        """Return the limits of all parameters but the amplitude for an estimator with a prior.

        Least squares keeps to physical bounds, where a wide range costs nothing. An estimator that answers
        with the middle of its range where the data say nothing is the better the closer that range is to the
        truth, and wrong where the truth lies outside.

        Parameters
        ----------
        limits
            What replaces the physical bounds; the prior is cut to these, and what they fix stays fixed.
        """
        own = {p.name: p for p in self.parameters if p.name != self.amplitude}
        physical = {name: p.bounds for name, p in own.items()} | dict(limits or {})
        return {name: _cut(own[name].prior, *pair) for name, pair in physical.items()}


def _cut(prior: tuple[float, float] | None, low: float, high: float) -> tuple[float, float]:
    if prior is None or low >= high:
        return low, high
    return max(low, prior[0]), min(high, prior[1])
