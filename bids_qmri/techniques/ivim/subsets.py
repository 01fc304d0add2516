"""Sub-protocols of b-values that estimators are evaluated on. s/mm^2."""

from __future__ import annotations

import numpy as np

from bids_qmri.units import FloatArray

FIXED = (
    (0.0, 10.0, 50.0, 600.0),
    (0.0, 10.0, 20.0, 50.0, 75.0, 600.0),
    (0.0, 10.0, 20.0, 50.0, 75.0, 150.0, 400.0, 600.0),
)
"""In vivo rows of Table 3 of Kuppens et al. (doi:10.48550/arXiv.2412.20844), without that of all ten."""

LOW, MIDDLE, HIGH = (1.0, 50.0), (50.0, 100.0), (100.0, 801.0)
"""Ranges of Table 2, upper ends excluded."""


def draw(count: int, values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw b-values by the rule of Table 2 from those measured; what one range lacks comes from the others.

    Parameters
    ----------
    count
        How many, 4 or more and no more than were measured.
    values
        Those measured, (G,), no two alike.
    rng
        Source of chance.

    Returns
    -------
    ndarray
        Some of `values`, (count,), the smallest among them.
    """
    low = -(-(count - 1) // 2)
    few = -(-low // 2)
    kept = [int(np.argmin(values))]
    for (first, last), number in ((LOW, few), (MIDDLE, low - few), (HIGH, count - 1 - low)):
        inside = [i for i in np.flatnonzero((values >= first) & (values < last)) if i not in kept]
        kept += [int(i) for i in rng.permutation(inside)[:number]]
    rest = [i for i in rng.permutation(len(values)) if i not in kept]
    return values[sorted([*kept, *(int(i) for i in rest[: count - len(kept)])])]
