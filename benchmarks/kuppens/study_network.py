"""Estimates by the controlled differential equation of Kuppens et al., from weights on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.training.start import load_start
from bids_qmri.training.tuning_study import estimate_by
from bids_qmri.units import FloatArray

__all__ = ["estimate_by", "load"]

Estimate = Callable[[npt.ArrayLike, Any], dict[str, FloatArray]]
"""signal (V, N), protocol -> maps (V,) by parameter, in its unit; NaN for signals that cannot be divided by
their approximate amplitude."""


def load(folder: Path, name: str) -> Estimate:
    """Load a network that `bids_qmri-train` wrote.

    Parameters
    ----------
    folder
        Where it lies.
    name
        Of the recipe.

    Returns
    -------
    Callable
        ``estimate(signal, protocol)`` with signals of shape (V, N). T1 scales with the repetition time if
        that is not the one of training. Dynamic series need the arterial input of the study.

    Raises
    ------
    InputError
        If the weights are not those that the card describes.
    """
    start = load_start(folder / f"{name}.json")

    def estimate(signal: npt.ArrayLike, protocol: Any) -> dict[str, FloatArray]:
        return estimate_by(start.recipe, start.network, np.asarray(signal, dtype=np.float64), protocol)

    return estimate
