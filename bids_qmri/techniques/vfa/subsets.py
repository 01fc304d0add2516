"""Sub-protocols of flip angles that estimators are evaluated on. Degrees."""

from __future__ import annotations

import numpy as np

from bids_qmri.units import FloatArray

FIXED = ((1.0, 6.0, 29.0), (1.0, 6.0, 15.0, 29.0), (1.0, 6.0, 10.0, 20.0, 29.0))
"""In vivo rows of Table 3 of Kuppens et al. (doi:10.48550/arXiv.2412.20844)."""

MIDDLE, LARGEST = (3.0, 10.0), (15.0, 30.0)
"""Ranges of Table 2 of the second and of the largest angle."""


def draw(count: int, values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw flip angles by the rule of Table 2, between the smallest and the largest that were measured.

    Parameters
    ----------
    count
        How many, 3 or more.
    values
        Angles that were measured, (G,).
    rng
        Source of chance.

    Returns
    -------
    ndarray
        Angles that are wanted, (count,): the nearest that were measured stand for them.
    """
    smallest, most = float(values.min()), min(LARGEST[1], float(values.max()))
    largest = rng.uniform(min(LARGEST[0], most), most)
    between = np.linspace(smallest, largest, count - 1)[1:-1]
    return np.concatenate([[smallest, rng.uniform(*MIDDLE), largest], between])
