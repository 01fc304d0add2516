"""Limits that a person may set, over several models."""

from __future__ import annotations

from collections.abc import Iterable

from bids_qmri.physics.model import Model


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
