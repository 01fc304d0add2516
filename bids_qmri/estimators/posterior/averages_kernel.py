"""Weighted means of what is known at the nodes of every voxel, compiled.

Called by `problem` and `importance`. A voxel's sums do not depend on the voxels beside it.
"""

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


@kernel
def add_products(weight: FloatArray, values: FloatArray, out: FloatArray) -> None:
    """Add sums of weight times value, (V,), both (V, G)."""
    for v in range(len(weight)):
        out[v] += _product(weight[v], values[v])


@kernel
def spread_of(points: FloatArray, weight: FloatArray, mean: FloatArray, covariance: FloatArray) -> None:
    """Write means, (D, V), and covariances, (V, D, D), of points (D, V, G) with weights (V, G)."""
    for v in range(len(weight)):
        for d in range(len(points)):
            mean[d, v] = _product(weight[v], points[d, v])
        for d in range(len(points)):
            for e in range(d + 1):
                found = _covariance(weight[v], points[d, v], points[e, v], mean[d, v], mean[e, v])
                covariance[v, d, e] = found
                covariance[v, e, d] = found


@summing
def _sums(weight: FloatArray, values: FloatArray) -> tuple[float, float]:
    first = second = 0.0
    for g in range(weight.size):
        part = weight[g] * values[g]
        first += part
        second += part * values[g]
    return first, second


@summing
def _product(weight: FloatArray, values: FloatArray) -> float:
    total = 0.0
    for g in range(weight.size):
        total += weight[g] * values[g]
    return total


@summing
def _covariance(weight: FloatArray, x: FloatArray, y: FloatArray, of_x: float, of_y: float) -> float:
    total = 0.0
    for g in range(weight.size):
        total += weight[g] * ((x[g] - of_x) * (y[g] - of_y))
    return total
