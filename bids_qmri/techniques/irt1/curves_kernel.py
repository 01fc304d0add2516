"""Curves of inversion recovery at many nodes, compiled, in single precision. Called by `posterior`.

A likelihood that is summed in double precision from them is off by the ratio of signal to noise times 1e-7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.compiled import kernel
from bids_qmri.physics.elementary import exp_single
from bids_qmri.units import FloatArray

Float32Array = npt.NDArray[np.float32]
F: Any = np.float32
ONE, TWO = F(1.0), F(2.0)


@kernel
def write_curves(times: FloatArray, theta: FloatArray, out: Float32Array) -> None:
    """Write |1 - 2 efficiency exp(-TI / T1)|, (N, M), of T1 and efficiency, theta being (3, M)."""
    for n in range(times.size):
        _write(times[n], theta[0], theta[1], out[n])


@kernel
def _write(time: float, t1: FloatArray, efficiency: FloatArray, out: Float32Array) -> None:
    for m in range(out.size):
        out[m] = abs(ONE - TWO * F(efficiency[m]) * exp_single(F(-time / t1[m])))
