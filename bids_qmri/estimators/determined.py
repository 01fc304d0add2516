"""Which parameters the data determine: those that they narrow to half of what was known before, or less.

Known before is the technique's default box (`Model.prior`), whatever limits or prior a fit was told: all
estimators, and all scans, are judged by the same measure. A prior is not data. `Estimator.fit` asks, the maps
are written beside the standard deviations, and what is told of regions counts determined voxels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bids_qmri.physics.limits import at_bound
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.prior import EVEN, Prior, moments
from bids_qmri.units import FloatArray

LIKE_PRIOR = 0.9
"""Standard deviation over that of the core of a prior, beyond which the data have told nothing."""

NARROW = 0.5
"""Largest standard deviation of a parameter that the data determine, over that of its default box."""


def box_sd(model: Model) -> dict[str, float]:
    """Return the standard deviation of the default box, in the unit of each parameter and derived quantity.

    Those of parameters are of a uniform distribution between the limits, those of derived quantities follow.
    Amplitudes, whose unit is the scanner's, parameters for fits alone, and those without finite limits of
    their own have none.
    """
    lower, upper = model.limits(model.prior(None))
    names = [p.name for p in model.parameters]
    boxed = np.array([name != model.amplitude for name in names], dtype=bool)
    found = dict(zip(names, ((upper - lower) / np.sqrt(12.0)).tolist(), strict=True))
    if model.derived and np.all(np.isfinite((upper - lower)[boxed])):
        spread = moments(EVEN, model, tuple(lower), tuple(upper))[1][len(names) :]
        found |= dict(zip((q.name for q in model.derived), spread.tolist(), strict=True))
    left_out = {model.amplitude, *(p.name for p in model.parameters if p.internal)}
    return {name: sd for name, sd in found.items() if name not in left_out and 0.0 < sd < np.inf}


def determined_by_data(
    model: Model,
    bounds: Bounds | None,
    maps: Mapping[str, FloatArray],
    sd: Mapping[str, FloatArray],
    prior: Prior = EVEN,
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return where the data determine each parameter.

    Parameters
    ----------
    model, bounds
        What was fitted, and the limits that replaced the model's own.
    maps, sd
        Estimates and standard deviations by name, each (V,).
    prior
        Where the truth was expected: what its bells tell of a parameter is not told by the data, and is taken
        out of the standard deviation as if both were normal.

    Returns
    -------
    dict
        By name, (V,): the standard deviation is at most `NARROW` of that of the default box, and the estimate
        does not lie at a limit. Parameters that nobody can tell this of are left out: those without a default
        box or a standard deviation, those that limits fix, all where no standard deviation is known.
    """
    if not any(np.any(np.isfinite(values)) for values in sd.values()):
        return {}
    lower, upper = model.limits(bounds)
    limits = dict(zip((p.name for p in model.parameters), np.stack([lower, upper], axis=1), strict=True))
    told = _told_by(prior, model, lower, upper)
    found = {}
    for name, widest in box_sd(model).items():
        low, high = limits.get(name, np.array([-np.inf, np.inf]))[:, None]
        if name in maps and name in sd and low < high:
            with np.errstate(divide="ignore"):
                of_data = 1.0 / sd[name] ** 2 - 1.0 / told.get(name, np.inf) ** 2
            narrow = of_data >= 1.0 / (NARROW * widest) ** 2
            narrow &= sd[name] <= LIKE_PRIOR * told.get(name, np.inf)
            found[name] = np.asarray(narrow & ~at_bound(maps[name][None], low, high)[0])
    return found


def _told_by(prior: Prior, model: Model, lower: FloatArray, upper: FloatArray) -> dict[str, float]:
    """Return the standard deviations of the cores of bells, by parameter and derived quantity."""
    if not prior.bells:
        return {}
    spread = moments(prior, model, tuple(lower), tuple(upper), core=1.0)[1]
    names = [p.name for p in (*model.parameters, *model.derived)]
    derived = {p.name for p in model.derived}
    return {
        name: float(sd)
        for name, sd in zip(names, spread, strict=True)
        if name in derived or prior.of(name) is not None
    }
