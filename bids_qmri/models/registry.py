"""The models by the word of ``--models``."""

from __future__ import annotations

from bids_qmri.models.base import Model

NAMES = ("vfa", "ivim", "tofts", "etofts")
"""Models with a forward signal of our own; tensor and kurtosis are dipy's."""


def get_model(name: str) -> Model:
    """Return the model called `name`: ``vfa``, ``ivim``, ``tofts`` or ``etofts``.

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
    raise ValueError(f"no model is called {name!r}; there are vfa, ivim, tofts and etofts")
