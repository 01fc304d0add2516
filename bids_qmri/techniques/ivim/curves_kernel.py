"""Biexponential curves at many nodes, compiled. Called by `posterior`.

Curves are of single precision: a likelihood that is summed in double precision from them is off by the ratio
of signal to noise times 1e-7.
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


@kernel
def write_curves(bvals: FloatArray, theta: FloatArray, out: Float32Array) -> None:
    """Write (1 - f) exp(-b D) + f exp(-b D*), (N, M), of D, D* and f in mm^2/s, theta being (4, M)."""
    for n in range(bvals.size):
        _write(bvals[n], theta[0], theta[1], theta[2], out[n])


@kernel
def _write(b: float, d: FloatArray, dstar: FloatArray, f: FloatArray, out: Float32Array) -> None:
    for m in range(out.size):
        slow, fast = exp_single(F(-b * d[m])), exp_single(F(-b * dstar[m]))
        out[m] = slow + F(f[m]) * (fast - slow)
