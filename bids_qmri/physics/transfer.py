"""Whether images with and without an MT pulse are named the right way round."""

from __future__ import annotations

import numpy as np

from bids_qmri.units import FloatArray

BRIGHTER = 1.02
"""Ratio with over without the pulse in the middle of all voxels that no tissue has."""


def pulse_remarks(on: FloatArray, off: FloatArray) -> tuple[str, ...]:
    """Return what to say of images that an MT pulse made brighter.

    Parameters
    ----------
    on, off
        Signals of the same voxels with and without the pulse, otherwise alike, (V,).
    """
    known = (on > 0) & (off > 0)
    ratio = float(np.median(on[known] / off[known])) if known.any() else 1.0
    if ratio < BRIGHTER:
        return ()
    return (
        f"MTState: images with an MT pulse are brighter than those without ({ratio:.2f} times in the middle"
        " of the voxels), but a pulse takes signal; fix: correct MTState, and mt- in the names: they are"
        " likely exchanged",
    )
