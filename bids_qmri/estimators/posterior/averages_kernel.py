"""Weighted means of what is known at the nodes of every voxel, compiled. Called by `problem`."""

from __future__ import annotations

from bids_qmri.compiled import kernel, summing
from bids_qmri.units import FloatArray


@kernel
def add_moments(weight: FloatArray, values: FloatArray, out: FloatArray) -> None:
    """Add sums of weight times value and times its square, (2, K, V).

    Weights are (V, G), values (K, V, G).
    """
    for k in range(len(values)):
        for v in range(len(weight)):
            first, second = _sums(weight[v], values[k, v])
            out[0, k, v] += first
            out[1, k, v] += second


@summing
def _sums(weight: FloatArray, values: FloatArray) -> tuple[float, float]:
    first = second = 0.0
    for g in range(weight.size):
        part = weight[g] * values[g]
        first += part
        second += part * values[g]
    return first, second
