"""The likelihood of NODDI at the nodes of its grid, and moments over them, compiled.

Called by `posterior` and `bayes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.compiled import kernel, summing
from bids_qmri.physics.elementary import exp_single, log_single
from bids_qmri.units import FloatArray

Float32Array = npt.NDArray[np.float32]

F: Any = np.float32
HALF = F(0.5)


@kernel
def combine(
    with_signal: Float32Array, energy: Float32Array, n_b0: int, sharp: FloatArray, out: Float32Array
) -> None:
    """Write the log likelihood, S0 integrated, (V, A).

    Parameters
    ----------
    with_signal, energy
        Products of weighted signals with curves, and of curves with themselves, (V, A).
    n_b0
        Measurements at b = 0, whose signal over S0 is 1.
    sharp
        One half over the squared noise, (V,).
    out
        What is written.
    """
    count = F(n_b0)
    for v in range(len(out)):
        sharpness = F(sharp[v])
        for a in range(out.shape[1]):
            size = energy[v, a] + count
            fit = with_signal[v, a] + count
            out[v, a] = fit * fit / size * sharpness - HALF * log_single(size)


@kernel
def moments(
    log_likelihood: Float32Array, log_mass: Float32Array, table: Float32Array, out: FloatArray
) -> None:
    """Write total and moments of the table's six rows, (V, 7), of nodes with logarithms of masses (A,).

    `table` holds what is averaged, (6, A); `log_likelihood`, (V, A), is overwritten.
    """
    for v in range(len(out)):
        top = _add_and_find_top(log_likelihood, v, log_mass)
        found = _sums(log_likelihood, v, top, table)
        for k in range(len(found)):
            out[v, k] = found[k]


@summing
def _add_and_find_top(log_likelihood: Float32Array, v: int, log_mass: Float32Array) -> Any:
    top = F(-np.inf)
    for a in range(log_mass.size):
        log_likelihood[v, a] += log_mass[a]
        top = max(top, log_likelihood[v, a])
    return top


@summing
def _sums(log_density: Float32Array, v: int, top: float, table: Float32Array) -> tuple[float, ...]:
    total = x0 = x1 = x2 = x3 = x4 = x5 = F(0.0)
    for a in range(table.shape[1]):
        mass = exp_single(log_density[v, a] - top)
        total += mass
        x0 += mass * table[0, a]
        x1 += mass * table[1, a]
        x2 += mass * table[2, a]
        x3 += mass * table[3, a]
        x4 += mass * table[4, a]
        x5 += mass * table[5, a]
    return total, x0, x1, x2, x3, x4, x5
