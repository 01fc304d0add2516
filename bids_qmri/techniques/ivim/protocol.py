"""Whether low b-values of a series were meant: steps of perfusion, or b = 0 as the scanner stores it.

Imaging gradients and rounding let scanners store b = 0 as 5, 10, 15 or 36 s/mm^2. b in s/mm^2.
"""

from __future__ import annotations

import numpy as np

from bids_qmri.physics.diffusion import SAME_LOW_B, DiffusionProtocol
from bids_qmri.physics.directions import count_directions
from bids_qmri.physics.shells import JITTER
from bids_qmri.units import FloatArray

PERFUSION_B = 200.0
"""s/mm^2; blood in capillaries has lost its signal above it."""

TENSOR_DIRECTIONS = 6
"""Directions at one b-value from which on a series may have been made for a tensor."""

MANY_DIRECTIONS = 15
"""Directions at one b-value that only models with directions need."""

STEP = 8.0
"""s/mm^2 between low b-values that were asked for; jitter fills smaller steps."""

FEWEST_IMAGES = 3
"""Images of each low b-value that was asked for: directions, or repetitions."""


def most_directions(protocol: DiffusionProtocol) -> int:
    """Return the largest number of directions within the jitter around any b-value above `PERFUSION_B`."""
    if protocol.bvecs is None:
        return 0
    high = np.unique(protocol.bvals[protocol.bvals > PERFUSION_B])
    shells = (np.abs(protocol.bvals - b) <= max(JITTER, 0.05 * b) for b in high)
    return max((count_directions(protocol.bvecs[members]) for members in shells), default=0)


def jittered_b0(protocol: DiffusionProtocol) -> bool:
    """Tell whether all low b-values of a series are its b = 0.

    They are not where b-values between the b = 0 threshold and `PERFUSION_B` go on from them, or where each
    was repeated with a step to the next.
    """
    low, between = protocol.b0_mask, (protocol.bvals > protocol.b0_threshold) & (protocol.bvals < PERFUSION_B)
    steps = _different(protocol.bvals[low])
    if between.any() or steps.size < 2:
        return False
    if most_directions(protocol) < TENSOR_DIRECTIONS:
        # Three axes or an average: b-values that fill the range of jitter in small steps, and then nothing.
        fine = np.unique(np.round(protocol.bvals[low]))
        return bool(np.ptp(fine) <= JITTER + SAME_LOW_B and fine.size > 2 and np.diff(fine).max() < STEP)
    counts = [np.count_nonzero(np.abs(protocol.bvals[low] - b) <= 0.5) for b in steps[1:]]
    asked_for = bool(np.all(np.diff(steps) >= STEP)) and min(counts) >= FEWEST_IMAGES
    return not asked_for or _shells_jitter(protocol)


def _different(bvals: FloatArray) -> FloatArray:
    """Return the lowest b-value and those more than `SAME_LOW_B` above it, sorted."""
    distinct = np.unique(np.round(bvals))
    kept = (distinct == distinct.min()) | (distinct > distinct.min() + SAME_LOW_B)
    return np.asarray(distinct[kept])


def _shells_jitter(protocol: DiffusionProtocol) -> bool:
    """Tell whether images of one shell have different b-values."""
    high = np.unique(protocol.bvals[protocol.bvals > PERFUSION_B])
    steps = np.diff(high)
    return bool(np.any((steps > 0.5) & (steps <= 2.0 * JITTER)))
