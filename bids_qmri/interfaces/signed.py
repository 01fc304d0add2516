"""Whether images hold magnitudes: phases and signed images look like them once they are files.

Readers leave out what names and sidecars say is no magnitude. Where they say nothing, values below zero do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_qmri.bids.images import Series
from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import IntArray

CHUNKS, CHUNK_VOXELS = 16, 2048
"""Places over the field of view, and voxels read at each."""

OBJECT = 0.2
"""Share of the brightest signal above which a voxel is no air."""

CLEARLY = 0.1
"""Share of a voxel's own largest signal below zero that no interpolation and no noise of tissue reaches."""

OFTEN = 0.05
"""Share of all signals of the object."""


def require_magnitudes(series: Series, image: Path, magnitudes: IntArray | None) -> None:
    """Refuse images of which many values are clearly below zero.

    Parameters
    ----------
    series
        Opened images.
    image
        Named in the message.
    magnitudes
        Which of the images should be magnitudes, (M,); None: all.

    Raises
    ------
    InputError
        With the share and the lowest value that was seen.
    """
    chosen = None if magnitudes is None else magnitudes.tolist()
    starts = np.unique(np.linspace(0, max(series.n_voxels - CHUNK_VOXELS, 0), CHUNKS).astype(int))
    ends = np.minimum(starts + CHUNK_VOXELS, series.n_voxels)
    parts = [series.read(int(a), int(b), chosen) for a, b in zip(starts, ends, strict=True)]
    if all(part.min(initial=0.0) >= 0 for part in parts):
        return
    signal = np.concatenate(parts)
    signal = signal[np.all(np.isfinite(signal), axis=1)]
    if not signal.size:
        return
    largest = np.abs(signal).max(axis=1)
    inside = largest > OBJECT * np.percentile(largest, 99.5)
    below = signal[inside] < -CLEARLY * largest[inside, None]
    if below.size and below.mean() > OFTEN:
        raise InputError(
            f"{below.mean():.0%} of the values of the object are below 0, down to {signal.min():g}",
            file=image,
            field="ImageType",
            needed="magnitudes",
            fix="give the magnitude images: name phases part-phase and signed ones part-real",
        )
