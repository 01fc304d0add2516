"""What the posterior of IVIM has of its own: compiled curves. Found by estimators through the catalogue."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.ivim.entries import write_curves
from bids_qmri.units import FloatArray


def curves(model: object, protocol: DiffusionProtocol, theta: FloatArray) -> npt.NDArray[np.float32]:
    """Return the signals with S0 = 1, (N, M), of parameters (4, M), in single precision."""
    found = np.empty((protocol.n_measurements, theta.shape[1]), dtype=np.float32)
    write_curves(np.asarray(protocol.bvals, dtype=np.float64), np.ascontiguousarray(theta), found)
    return found
