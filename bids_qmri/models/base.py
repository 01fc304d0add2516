"""What a signal model is: parameters as data, and pure functions from parameters to signal.

Array convention of all models: parameters `theta` have shape (P, V), signals (N, V), Jacobians (P, N, V).
Voxels run along the last axis, so that one numpy operation works on a contiguous block of voxels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

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
    """

    name: str
    symbol: str
    unit: str
    bounds: tuple[float, float]
    training: tuple[float, float]
    description: str


Bounds = Mapping[str, tuple[float, float]]
"""Limits by parameter name that replace the physical ones; equal limits fix a parameter."""


class Model(ABC):
    """Forward physics: parameters to signal for a protocol. No I/O, no fitting.

    The publication of the equation is in the model's table in `outputs`, which sidecars and pages read.

    Attributes
    ----------
    name
        The word of ``--models``.
    parameters
        The P fitted parameters, in the order of `theta`.
    amplitude
        Name of the parameter that the signal is proportional to, or None.
    derived
        Quantities computed from fitted ones (`derive`), such as Ktrans = kep * ve.
    """

    name: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]]
    amplitude: ClassVar[str | None] = None
    derived: ClassVar[tuple[Parameter, ...]] = ()

    @abstractmethod
    def signal(self, theta: FloatArray, protocol: Any) -> FloatArray:
        """Return the noise-free signal, shape (N, V), of parameters of shape (P, V)."""

    @abstractmethod
    def signal_and_jacobian(self, theta: FloatArray, protocol: Any) -> tuple[FloatArray, FloatArray]:
        """Return the signal, shape (N, V), and its analytic derivatives, shape (P, N, V)."""

    @abstractmethod
    def start(self, signal: FloatArray, protocol: Any, lower: FloatArray, upper: FloatArray) -> FloatArray:
        """Return a first estimate, shape (P, V), within limits of shape (P,), for signals (N, V)."""

    def derive(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return derived quantities, shape (Q, V), and their derivatives by theta, shape (Q, P, V)."""
        return np.empty((0, theta.shape[1])), np.empty((0, *theta.shape))

    def limits(self, bounds: Bounds | None = None) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper limits, each of shape (P,), with `bounds` replacing the physical ones."""
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
