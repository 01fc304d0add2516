"""Where the truth is expected within limits: a bell with heavy tails for each parameter, or evenly.

The bell lies on the parameter's own scale, linear or logarithmic (`Parameter.logarithmic`). It is a mixture
of normal densities of one centre: most of the mass in a core, the rest wide, so that rare tissue is not drawn
to the common one. Limits cut it off. Parameters that a prior does not name are expected anywhere within their
limits. Estimators take it beside their limits; `estimation.prior` measures it in a scan or reads a file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from bids_qmri.physics.model import Model, Parameter
from bids_qmri.units import FloatArray

Parts = tuple[tuple[float, float], ...]

PARTS: Parts = ((0.75, 1.0), (0.19, 2.2), (0.06, 6.0))
"""Share and relative width of the normal densities of a bell."""

CORE = 1.6
"""Standard deviation of the one normal density that stands for a bell where its tails do not matter."""

WIDEST = 1.0 / PARTS[-1][1] ** 2
"""Precision of the widest part, over that of the core."""

STEPS = 9
"""Points at which the density within a cell of a grid is taken."""

DRAWS = 1021
"""Points that tell the moments of derived quantities."""

TINY = 1e-300


@dataclass(frozen=True)
class Bell:
    """Where one parameter is expected.

    Parameters
    ----------
    centre
        In the parameter's unit.
    width
        Standard deviation of the core: in the parameter's unit, or of its natural logarithm where it is
        logarithmic.
    """

    centre: float
    width: float

    def log_density(self, parameter: Parameter, values: FloatArray, parts: Parts = PARTS) -> FloatArray:
        """Return the logarithm of the density per unit of the parameter, not cut off by limits."""
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = np.log(np.maximum(values, TINY)) if parameter.logarithmic else np.asarray(values)
            centre = np.log(self.centre) if parameter.logarithmic else self.centre
            square = ((scaled - centre) / self.width) ** 2
            each = [np.log(share / wide) - square / (2.0 * wide**2) for share, wide in parts]
        density = np.logaddexp.reduce(each) - 0.5 * np.log(2.0 * np.pi) - np.log(self.width)
        return np.asarray(density - scaled if parameter.logarithmic else density)

    def pull(self, parameter: Parameter, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return centre and precision, (V,), of the normal densities of the same slope at values, (V,)."""
        own = np.log(values) if parameter.logarithmic else values
        slope = 1.0 / values if parameter.logarithmic else np.ones_like(values)
        away = own - (np.log(self.centre) if parameter.logarithmic else self.centre)
        square = (away / self.width) ** 2
        parts = [share / wide * np.exp(-square / (2.0 * wide**2)) for share, wide in PARTS]
        total = np.maximum(sum(parts), TINY)
        sharp = sum(part / wide**2 for part, (_, wide) in zip(parts, PARTS, strict=True)) / total
        return values - away / slope, np.asarray(np.maximum(sharp, WIDEST) * (slope / self.width) ** 2)


@dataclass(frozen=True)
class Prior:
    """Where the parameters of a model are expected.

    Parameters
    ----------
    bells
        Name and bell of those that are not expected evenly, in any order.
    origin
        Where it comes from, in words for sidecars.
    """

    bells: tuple[tuple[str, Bell], ...] = ()
    origin: str = ""

    def of(self, name: str) -> Bell | None:
        """Return the bell of a parameter, None where it is expected evenly.

        Parameters
        ----------
        name
            Of the parameter.
        """
        return dict(self.bells).get(name)

    def without(self, names: Collection[str]) -> Prior:
        """Return it without the bells of some parameters, which are then expected evenly.

        Parameters
        ----------
        names
            Of the parameters.
        """
        return replace(self, bells=tuple(bell for bell in self.bells if bell[0] not in names))

    def log_density(self, model: Model, theta: FloatArray, but: tuple[str, ...] = ()) -> FloatArray | float:
        """Return the logarithm of the density at parameters (P, ...), of all but some; 0 where it is even.

        Parameters
        ----------
        model
            Which is fitted.
        theta
            Parameters in the units of the model, shape (P, ...).
        but
            Names of parameters that are left out.
        """
        found: FloatArray | float = 0.0
        for row, parameter in zip(theta, model.parameters, strict=True):
            bell = self.of(parameter.name)
            if bell is not None and parameter.name not in but:
                found = found + bell.log_density(parameter, row)
        return found

    def sidecar(self) -> Mapping[str, object]:
        """Return it as a sidecar field."""
        return {name: {"Centre": bell.centre, "Width": bell.width} for name, bell in self.bells}


EVEN = Prior(origin="box")
"""Expected evenly within limits."""


@dataclass(frozen=True)
class Cells:
    """Cells along one parameter under a prior, each (A,): mean and standard deviation inside, log of mass."""

    centre: FloatArray
    sd: FloatArray
    log_mass: FloatArray


def cells_under(prior: Prior, parameter: Parameter, edges: FloatArray) -> Cells:
    """Return the cells between edges, (A + 1,); all in one place where these are equal."""
    width = np.diff(edges)
    middle = 0.5 * (edges[1:] + edges[:-1])
    bell = prior.of(parameter.name)
    if bell is None or edges[0] == edges[-1]:
        return Cells(middle, width / np.sqrt(12.0), np.log(np.where(width > 0, width, 1.0)))
    inside = (np.arange(STEPS) + 0.5) / STEPS
    points = edges[:-1, None] + width[:, None] * inside
    log_density = bell.log_density(parameter, points)
    top = log_density.max(axis=1, keepdims=True)
    weight = np.exp(log_density - top)
    total = weight.sum(axis=1)
    centre = (weight * points).sum(axis=1) / total
    variance = (weight * (points - centre[:, None]) ** 2).sum(axis=1) / total + (width / STEPS) ** 2 / 12.0
    return Cells(centre, np.sqrt(variance), top[:, 0] + np.log(total * width / STEPS))


@lru_cache(maxsize=64)
def moments(
    prior: Prior,
    model: Model,
    lower: tuple[float, ...],
    upper: tuple[float, ...],
    core: float = CORE,
) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of parameters, then derived quantities, each (P + Q,).

    Those of one normal density for each bell, `core` times as wide as its core: tails would make them much
    wider than most of the truth is. The amplitude counts as 1.
    """
    points = sample(prior, model, np.array(lower), np.array(upper), ((1.0, core),))
    values = np.concatenate([points, model.derive(points)[0]])
    return values.mean(axis=1), values.std(axis=1)


def sample(
    prior: Prior, model: Model, lower: FloatArray, upper: FloatArray, parts: Parts = PARTS
) -> FloatArray:
    """Return evenly spread draws from a prior within limits, shape (P, `DRAWS`); amplitudes are 1."""
    # A lattice of good discrepancy in up to five dimensions.
    steps = np.outer(76 ** np.arange(len(lower)) % DRAWS, np.arange(DRAWS)) % DRAWS
    uniform = (steps + 0.5) / DRAWS
    theta = np.ones(uniform.shape)
    for row, u, parameter, low, high in zip(theta, uniform, model.parameters, lower, upper, strict=True):
        if parameter.name != model.amplitude:
            row[:] = quantile(prior, parameter, u, low, high, parts)
    return theta


def quantile(
    prior: Prior, parameter: Parameter, u: FloatArray, low: float, high: float, parts: Parts = PARTS
) -> FloatArray:
    """Return the values below which a share `u` of a parameter's prior within limits lies."""
    bell = prior.of(parameter.name)
    if bell is None or low == high:
        return np.asarray(low + (high - low) * u)
    own = np.exp if parameter.logarithmic else np.asarray
    ends = np.array([low, high])
    centre = bell.centre
    if parameter.logarithmic:
        ends, centre = np.log(np.maximum(ends, min(bell.centre, high) * 1e-4)), np.log(centre)
    # Dense where the core is, and everywhere within the limits.
    reach = np.clip(centre + bell.width * np.linspace(-8.0, 8.0, 801), *ends)
    grid = np.unique(np.concatenate([np.linspace(ends[0], ends[1], 801), reach]))
    values = own(grid)
    density = np.exp(bell.log_density(parameter, values, parts))
    mass = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(values))])
    if not mass[-1] > 0:
        return np.asarray(np.full(u.shape, low if bell.centre < low else high))
    return np.asarray(np.interp(u, mass / mass[-1], values))
