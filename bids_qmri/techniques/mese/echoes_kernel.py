"""Trains of spin and stimulated echoes at many nodes, compiled. Called by `posterior`.

Values alone, of the extended phase graphs that `stimulated.train` holds with its derivatives.
"""

from __future__ import annotations

import numpy as np

from bids_qmri.compiled import kernel
from bids_qmri.units import FloatArray

BLOCK = 256
"""Nodes at a time: their states stay in the L2 cache."""


@kernel
def write_echoes(
    half: FloatArray, sine: FloatArray, cosine: FloatArray, rise: float, out: FloatArray
) -> None:
    """Write echoes of unit magnetisation, (N, M).

    Parameters
    ----------
    half
        Transverse decay over half the spacing, (M,).
    sine, cosine
        Of the refocusing angle, (M,).
    rise
        Longitudinal decay over the spacing.
    out
        What is written.
    """
    count = len(out)
    states = np.zeros((3, count, BLOCK))
    plus, minus, along = states[0], states[1], states[2]
    for first in range(0, half.size, BLOCK):
        here = slice(first, min(first + BLOCK, half.size))
        states[:] = 0.0
        for g in range(here.stop - first):
            plus[0, g] = half[first + g]
        for echo in range(count):
            # States farther out than the echoes that are left never come back.
            used = min(echo, count - 1 - echo) + 1
            for k in range(used):
                _turn(plus[k], minus[k], along[k], sine[here], cosine[here])
            _scale(minus[0], half[here], out[echo, here])
            kept = min(used, count - 1 - echo)
            _pass(plus, minus, along, half[here], rise, used, kept)


@kernel
def _turn(
    plus: FloatArray, minus: FloatArray, along: FloatArray, sine: FloatArray, cosine: FloatArray
) -> None:
    """Turn states by a refocusing pulse."""
    for g in range(sine.size):
        near, far = 0.5 * (1.0 + cosine[g]), 0.5 * (1.0 - cosine[g])
        p, m, z = plus[g], minus[g], along[g]
        plus[g] = near * p + far * m + sine[g] * z
        minus[g] = far * p + near * m - sine[g] * z
        along[g] = 0.5 * sine[g] * (m - p) + cosine[g] * z


@kernel
def _pass(
    plus: FloatArray,
    minus: FloatArray,
    along: FloatArray,
    half: FloatArray,
    rise: float,
    used: int,
    kept: int,
) -> None:
    """Let states decay and move out by one until the next pulse."""
    for k in range(kept, 0, -1):
        _decay(plus[k - 1], half, plus[k])
    _decay(minus[0], half, plus[0])
    for k in range(used - 1):
        _decay(minus[k + 1], half, minus[k])
    minus[used - 1] = 0.0
    for k in range(used):
        row = along[k]
        for g in range(half.size):
            row[g] *= rise


@kernel
def _decay(states: FloatArray, half: FloatArray, out: FloatArray) -> None:
    for g in range(half.size):
        out[g] = states[g] * (half[g] * half[g])


@kernel
def _scale(states: FloatArray, half: FloatArray, out: FloatArray) -> None:
    for g in range(half.size):
        out[g] = states[g] * half[g]
