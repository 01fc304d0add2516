"""Images of a series that do not fit the others of their kind, slice by slice: dropped signal, spikes.

Logarithms of signals of one b-value differ between directions by a smooth function; frames of a dynamic
series differ little from those around them. What is left of a voxel is its noise and what it moved. In a
damaged slice either all of its voxels are off by the same (dropped signal), or their residuals are wide
(spikes in k-space).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.threads import in_threads
from bids_qmri.units import FloatArray

FEWEST_IMAGES = 6
"""Of a kind, below which nobody can tell which one is odd."""

OFF = 0.1
"""Common deviation of the logarithm in a slice from which it may be damaged, as motion makes less."""

WIDE = 2.5
"""Width of the residuals of a slice over the median of those of the other images, likewise."""

CERTAIN = 6.0
"""Robust standard deviations among the images of a slice."""

LEAST_FREE = 0.1
"""Share of the variance of an image that a fit leaves, at least, for its residual to count."""

BESIDE = 2
"""Frames before a frame, and after it, that it is compared with."""


@dataclass(frozen=True, eq=False)
class Kind:
    """Images that can be compared.

    Parameters
    ----------
    images
        Their numbers, (K,).
    directions
        Unit vectors, (K, 3), of which the logarithm is a smooth function; None: all show the same.
    dynamic
        Whether each is like those before and after it.
    """

    images: npt.NDArray[np.intp]
    directions: FloatArray | None = None
    dynamic: bool = False


def damaged_slices(
    signal: FloatArray, slices: npt.NDArray[np.intp], kinds: Sequence[Kind], threads: int = 1
) -> npt.NDArray[np.bool_]:
    """Return which slices of which images do not fit the others.

    Parameters
    ----------
    signal
        Of bright voxels, positive, (V, N).
    slices
        The slice that each lies in, counted from 0, (V,).
    kinds
        Images that can be compared.
    threads
        That share out the kinds.

    Returns
    -------
    Shape (slices, N).
    """
    logs = np.log(signal)
    found = np.zeros((int(slices.max(initial=-1)) + 1, signal.shape[1]), dtype=np.bool_)
    members = [(number, slices == number) for number in np.unique(slices)]

    def look(kind: Kind) -> None:
        own = logs[:, kind.images]
        rest, odd = (own, _odd_frames) if kind.dynamic else (_residuals(own, kind), _odd)
        for number, inside in members:
            found[number, kind.images] = odd(rest[inside])

    deque(in_threads(look, (kind for kind in kinds if len(kind.images) >= FEWEST_IMAGES), threads), maxlen=0)
    return found


def _residuals(logs: FloatArray, kind: Kind) -> FloatArray:
    """Return what is left of logarithms, (V, K), once what images share is taken out."""
    level = np.median(logs, axis=1, keepdims=True)
    if kind.directions is None or len(kind.images) < 2 * FEWEST_IMAGES:
        return np.asarray(logs - level)
    x, y, z = kind.directions.T
    design = np.stack([x * x, y * y, z * z, x * y, x * z, y * z], axis=1)
    return np.asarray(_robust(logs - level, design))


def _robust(values: FloatArray, design: FloatArray) -> FloatArray:
    """Return residuals of a fit of each row that leaves its largest fifth out, all of one expected width."""
    rest = values - values @ np.linalg.pinv(design).T @ design.T
    # One image in five may be damaged without bending the function that the others lie on.
    typical = np.median(np.abs(rest), axis=0)
    kept = np.argsort(typical)[: max(len(typical) * 4 // 5, design.shape[1] + 1)]
    inverse = np.linalg.pinv(design[kept])
    leverage = np.sum((design @ inverse) ** 2, axis=1)
    spread = np.sqrt(1.0 + leverage)
    spread[kept] = np.sqrt(np.maximum(1.0 - leverage[kept], LEAST_FREE))
    return np.asarray((values - values[:, kept] @ inverse.T @ design.T) / spread)


def _odd(rest: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which columns of the residuals of a slice, (v, K), are off or wide."""
    off = _common(rest)
    ratio, wide = _widths(rest)
    return np.asarray((np.abs(off) > _far(off)) | (ratio > wide))


def _odd_frames(logs: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which frames of a slice, (v, K), dropped or hold spikes; none of the first and the last two.

    An agent that arrives makes frames brighter, and some voxels more than others for several of them. So a
    frame dropped if it is darker than those before and those after it, and holds spikes if it alone is wide.
    """
    found = np.zeros(logs.shape[1], dtype=np.bool_)
    means = np.lib.stride_tricks.sliding_window_view(logs, BESIDE, axis=1).mean(axis=-1)
    inner = logs[:, BESIDE:-BESIDE]
    before, after = inner - means[:, : -BESIDE - 1], inner - means[:, BESIDE + 1 :]
    off = _common(np.maximum(before, after))
    ratio, wide = _widths(0.5 * (before + after))
    beside = np.maximum(np.r_[1.0, ratio[:-1]], np.r_[ratio[1:], 1.0])
    found[BESIDE:-BESIDE] = (off < -_far(off)) | (ratio > wide * np.maximum(beside, 1.0))
    return found


def _common(rest: FloatArray) -> FloatArray:
    """Return by how much all voxels of an image, (v, K), are off, (K,)."""
    off = np.median(rest, axis=0)
    return np.asarray(off - np.median(off))


def _far(off: FloatArray) -> float:
    return max(OFF, CERTAIN * 1.4826 * float(np.median(np.abs(off))))


def _widths(rest: FloatArray) -> tuple[FloatArray, float]:
    """Return the widths of residuals, (v, K), over their median, (K,), and from where one is too wide."""
    width = np.median(np.abs(rest - np.median(rest, axis=0)), axis=0)
    ratio = width / max(float(np.median(width)), np.finfo(np.float64).tiny)
    spread = 1.4826 * float(np.median(np.abs(ratio - 1.0)))
    return np.asarray(ratio), max(WIDE, 1.0 + CERTAIN * spread)


def described(damaged: npt.NDArray[np.bool_], names: Sequence[str]) -> Iterator[str]:
    """Say which images, by name, have how many damaged slices, those with most first; (slices, N)."""
    counts = damaged.sum(axis=0)
    for image in sorted(np.flatnonzero(counts), key=lambda index: (-counts[index], index)):
        yield f"{names[int(image)]}: {counts[image]} of {len(damaged)} slices"
