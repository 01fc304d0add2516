"""Weighted means of what is known at the nodes of every voxel, compiled: nothing is stored beside the sums."""

from __future__ import annotations

from bids_qmri.compiled import kernel
from bids_qmri.units import FloatArray


@kernel
def add_moments(weight: FloatArray, values: FloatArray, out: FloatArray) -> None:
    """Add sums of weight times value and times its square, (2, K, V), for weights (V, G), values (K, V, G)."""
    for k in range(len(values)):
        for v in range(len(weight)):
            row, w = values[k, v], weight[v]
            first = second = 0.0
            for g in range(w.size):
                part = w[g] * row[g]
                first += part
                second += part * row[g]
            out[0, k, v] += first
            out[1, k, v] += second
