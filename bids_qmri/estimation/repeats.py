"""Whether images of one setting look alike, as repeats do."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.preparation import Preparation
from bids_qmri.physics.model import Model
from bids_qmri.units import FloatArray

UNLIKE = 0.15
"""Share of a voxel's largest signal by which repeats differ in the middle of all places."""

PLACE = 16
"""Voxels in a row that are averaged, so that noise does not count."""


def remarks_on(
    model: Model, how: Preparation, measured: tuple[FloatArray, npt.NDArray[np.intp]]
) -> tuple[str, ...]:
    """Return what to say of images of one setting that differ; `interfaces.fit` finds it by techniques.

    Parameters
    ----------
    model, how
        What is fitted, and what goes into it.
    measured
        Signals (V, N) of voxels spread over the scan, and the voxels.
    """
    signal, protocol = how.convert(*measured)
    keys = protocol.repeat_keys()
    signal = signal[np.all(np.isfinite(signal), axis=1) & np.any(signal > 0, axis=1)]
    if keys is None or not signal.size:
        return ()
    share = signal / signal.max(axis=1, keepdims=True)
    share = np.stack([part.mean(axis=0) for part in np.array_split(share, -(-len(share) // PLACE))])
    for value in np.unique(keys, axis=1).T:
        same = np.flatnonzero(np.all(keys == value[:, None], axis=0))
        apart = np.median(np.abs(share[:, same] - share[:, same[:1]]), axis=0)
        if apart.max() > UNLIKE:
            odd = same[int(np.argmax(apart))]
            return (
                f"images {same[0]} and {odd} (counted from 0) have one setting, but differ by"
                f" {apart.max():.0%} of the signal in the middle of the scan; fix: check the keys of"
                " both: one is wrong, or the gain changed",
            )
    return ()
