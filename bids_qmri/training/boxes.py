"""Boxes (limits of parameters), and true parameters drawn from them.

A box is the uniform prior that an estimate assumes. A network learns to read it, so boxes vary in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.posterior.box import box as quantity_box
from bids_qmri.estimators.posterior.box import boxed, to_box
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.protocol import Range
from bids_qmri.physics.sampling import log_uniform
from bids_qmri.units import FloatArray

OVERSHOOT = 0.15
"""Share by which draws of a limit overshoot either end of its range, where they are cut: ends get mass."""


@dataclass(frozen=True)
class BoxRange:
    """Where the limits of one parameter may lie.

    Parameters
    ----------
    lower, upper
        Ranges of the lower and of the upper limit, in the parameter's unit.
    logarithmic
        Draw limits evenly on a logarithmic scale.
    fixed
        Share of the boxes, those of Table 1 included, in which both limits equal the lower end of `lower`.
    """

    lower: Range
    upper: Range
    logarithmic: bool = False
    fixed: float = 0.0


def table1_box(model: Model) -> Bounds:
    """Return the ranges of Table 1 of Kuppens et al., for all parameters but the amplitude."""
    return {p.name: p.training for p in model.parameters if p.name != model.amplitude}


def random_box(ranges: Mapping[str, BoxRange], rng: np.random.Generator) -> Bounds:
    """Draw limits of every parameter named in `ranges`."""
    return {
        name: (_between(span.lower, span.logarithmic, rng), _between(span.upper, span.logarithmic, rng))
        for name, span in ranges.items()
    }


def fix_some(box: Bounds, ranges: Mapping[str, BoxRange], rng: np.random.Generator) -> Bounds:
    """Return a box in which parameters are fixed as often as `ranges` say."""
    return {
        name: (span.lower[0], span.lower[0]) if rng.random() < span.fixed else box[name]
        for name, span in ranges.items()
    }


def _between(ends: Range, logarithmic: bool, rng: np.random.Generator) -> float:
    position = float(np.clip(rng.uniform(-OVERSHOOT, 1.0 + OVERSHOOT), 0.0, 1.0))
    if logarithmic:
        return float(ends[0] * (ends[1] / ends[0]) ** position)
    return ends[0] + (ends[1] - ends[0]) * position


def uniform_truth(
    model: Model, box: Bounds, amplitude: Range, count: int, rng: np.random.Generator
) -> FloatArray:
    """Draw parameters evenly in a box, shape (P, V); amplitudes evenly on a logarithmic scale."""
    theta = np.empty((len(model.parameters), count))
    for row, parameter in zip(theta, model.parameters, strict=True):
        if parameter.name == model.amplitude:
            row[:] = log_uniform(amplitude, count, rng)
        else:
            row[:] = rng.uniform(*box[parameter.name], count)
    return theta


def targets(model: Model, theta: FloatArray, box: Bounds) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return the quantities of true parameters in box units, (K, V), and which of them are free, (K,)."""
    lower, upper = quantity_box(model, box)
    values = np.concatenate([theta[boxed(model)], model.derive(theta)[0]])
    return to_box(values, lower, upper), lower < upper
