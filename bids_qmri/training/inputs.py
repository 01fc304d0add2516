"""Which features a network reads: all of them, or those alone that need no fit."""

from __future__ import annotations

from collections.abc import Sequence

from bids_qmri.estimators.features import CHANNELS, CONTEXT

FROM_FIT = ("map", "newton", "log_width", "grid", "local", "correlation", "log_chi2", "log_snr", "residual")
"""How the names of features begin that come from a fit or from the posterior on a grid."""


def kept(names: Sequence[str], *, anchor: bool) -> tuple[int, ...]:
    """Return the positions of the features that a network reads.

    Parameters
    ----------
    names
        Channels of the path or entries of the context.
    anchor
        Read those that come from a fit or a grid as well.
    """
    return tuple(i for i, name in enumerate(names) if anchor or not name.startswith(FROM_FIT))


def grid_shifts(model_name: str, *, anchor: bool) -> tuple[int, ...]:
    """Return where the context has the shifts to the mean on the finest grid; nowhere without anchor."""
    names = CONTEXT[model_name]
    shifts = [
        tuple(i for i, name in enumerate(names) if anchor and name.startswith(kind))
        for kind in ("local_shift", "grid_shift")
    ]
    return shifts[0] or shifts[1]


def channels_and_entries(model_name: str, *, anchor: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return which channels and which context entries a network of a model reads."""
    return kept(CHANNELS[model_name], anchor=anchor), kept(CONTEXT[model_name], anchor=anchor)
