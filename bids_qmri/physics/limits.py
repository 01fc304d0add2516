"""Limits that a person may set, and values that lie at one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError, QmriError
from bids_qmri.physics.model import Model
from bids_qmri.units import FloatArray

BOUND_TOLERANCE = 1e-6
"""Distance from a limit, in box widths, that counts as at the limit."""


def at_bound(theta: FloatArray, lower: FloatArray, upper: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which parameters lie at a limit (fixed ones included), shape (P, V)."""
    width = upper - lower
    near = np.where(np.isfinite(width), BOUND_TOLERANCE * width, 0.0)
    return np.asarray((theta <= (lower + near)[:, None]) | (theta >= (upper - near)[:, None]))


def widest_limits(models: Iterable[Model]) -> dict[str, tuple[float, float]]:
    """Return the widest limits of all parameters that limits can be set for, of all models.

    Amplitudes have none: their unit is the scanner's.
    """
    found: dict[str, tuple[float, float]] = {}
    for model in models:
        for name, (low, high) in model.settable().items():
            least, most = found.get(name, (low, high))
            found[name] = min(least, low), max(most, high)
    return found


def check_bounds(
    models: Iterable[Model],
    bounds: Mapping[str, Any],
    *,
    field: str = "bounds",
    error: type[QmriError] = InputError,
) -> None:
    """Refuse limits of what is no parameter of any of the models, or wider than is physical.

    Parameters
    ----------
    models
        What is fitted.
    bounds
        Lower and upper limit by parameter.
    field
        Where they were given.
    error
        Kind of the error.

    Raises
    ------
    QmriError
        Of that kind.
    """
    if not bounds:
        return
    widest = widest_limits(models)
    for name, limits in bounds.items():
        if name not in widest:
            needed = f"some of {', '.join(widest) or 'none'}"
            raise error(f"there is no parameter {name[:64]!r}", field=field, needed=needed)
        least, most = widest[name]
        pair = np.shape(limits) == (2,)
        if not pair or not least <= limits[0] <= limits[1] <= most:
            seen = f"{name} from {limits[0]:g} to {limits[1]:g}" if pair else f"{name} is {limits!r}"
            needed = f"two numbers within {least:g} and {most:g}, in the unit of its map, the lower one first"
            raise error(seen, field=field, needed=needed)
