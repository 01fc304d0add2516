"""Walk through the masked voxels of a series in blocks, so that memory does not grow with the image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.images import Series
from bids_qmri.estimation.blocks import BLOCK_VOXELS
from bids_qmri.units import FloatArray


def masked_blocks(
    series: Series, mask: npt.NDArray[np.bool_]
) -> Iterator[tuple[FloatArray, npt.NDArray[np.intp]]]:
    """Yield signals (v, N) and voxel indices (v,) of the masked voxels, block by block.

    Parameters
    ----------
    series
        Opened images.
    mask
        Voxels to visit, shape (V,).
    """
    for start in range(0, series.n_voxels, BLOCK_VOXELS):
        stop = min(start + BLOCK_VOXELS, series.n_voxels)
        inside = np.flatnonzero(mask[start:stop])
        if inside.size:
            first, last = int(inside[0]), int(inside[-1]) + 1
            # A block that is all inside needs no choice.
            within = None if inside.size == last - first else inside - first
            yield series.read(start + first, start + last, within=within), inside + start


def mean_curve(series: Series, mask: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the mean signal of the masked voxels that are finite throughout, shape (N,)."""
    total, count = np.zeros(series.n_measurements), 0
    for signal, _ in masked_blocks(series, mask):
        whole = np.all(np.isfinite(signal), axis=1)
        total += signal[whole].sum(axis=0)
        count += int(whole.sum())
    return total / max(count, 1)
