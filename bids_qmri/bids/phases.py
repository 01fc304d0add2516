"""How numbers of phase images are scaled: rad, degrees, thousandths of a rad, or steps of a scanner.

Sidecars rarely say it; the range of all images of a series does. Called by readers of techniques that take
phases.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bids_qmri.bids.nifti import value_range
from bids_qmri.errors import InputError

PERIOD = 2 * np.pi
TWELVE_BITS = 4095.0
"""Largest value of images that scanners store as integers of twelve bits."""
MILLIRADIANS = (6200.0, 6290.0)
"""Range of values of phases in thousandths of a rad, noise in air included."""


def phase_scale(paths: Sequence[Path]) -> float:
    """Return rad in one unit of the phase images of one series.

    Parameters
    ----------
    paths
        All of them, 3-D or 4-D.

    Raises
    ------
    InputError
        If their values are those of no unit that is known.
    """
    low, high = np.array([value_range(path, volumes=True) for path in paths]).T
    span = float(high.max() - low.min())
    if span <= 1.01 * PERIOD:
        return 1.0
    if MILLIRADIANS[0] < span < MILLIRADIANS[1]:
        return 1e-3
    if TWELVE_BITS / 4 < span <= 2 * TWELVE_BITS + 4:
        return PERIOD / (TWELVE_BITS + 1 if span <= TWELVE_BITS + 1 else 2 * TWELVE_BITS + 2)
    if 180 < span <= 361:
        return float(np.deg2rad(1.0))
    raise InputError(
        f"values from {low.min():g} to {high.max():g}",
        file=paths[0],
        field="Units",
        needed="phases in rad, in degrees, or over the 4096 or 8192 steps of a scanner",
        fix="if these are magnitudes under the name of phases, exchange part-mag and part-phase, or give the"
        " phases; else convert them to rad",
    )
