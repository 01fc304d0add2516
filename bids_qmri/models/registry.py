"""The models by the word of ``--models``."""

from __future__ import annotations

from bids_qmri.models.base import Model

NAMES = ("vfa", "ivim", "tofts", "etofts")
"""Models with a forward signal of our own; tensor and kurtosis are dipy's."""


def get_model(name: str) -> Model:
    """Return the model called `name`: ``vfa``, ``ivim``, ``tofts``, ``etofts`` or ``noddi``.

    Imports only what is asked for, because start-up time counts.

    Raises
    ------
    ValueError
        If there is no such model.
    """
    if name == "vfa":
        from bids_qmri.models.vfa import VFA

        return VFA
    if name == "ivim":
        from bids_qmri.models.ivim import IVIM

        return IVIM
    if name in ("tofts", "etofts"):
        from bids_qmri.models.etofts import EXTENDED_TOFTS, TOFTS

        return TOFTS if name == "tofts" else EXTENDED_TOFTS
    if name == "noddi":
        from bids_qmri.models.noddi import NODDI

        return NODDI
    raise ValueError(f"no model is called {name!r}; there are vfa, ivim, tofts, etofts and noddi")


LONGEST_DELAY = 120.0
"""Seconds; a model fixes the delay at 0, whoever frees it decides."""


def widest_bounds() -> dict[str, tuple[float, float]]:
    """Return the physical limits of all parameters that limits can be set for, the widest of all models.

    Amplitudes have none: their unit is the scanner's.
    """
    found: dict[str, tuple[float, float]] = {}
    for model in map(get_model, NAMES):
        for p in model.parameters:
            if p.name != model.amplitude:
                low, high = found.get(p.name, p.bounds)
                found[p.name] = min(low, p.bounds[0]), max(high, p.bounds[1])
    return found | {"t0": (0.0, LONGEST_DELAY)}
