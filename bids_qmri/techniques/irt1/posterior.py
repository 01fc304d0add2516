"""What the posterior of inversion recovery has of its own: compiled curves, found through the catalogue."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.techniques.irt1.entries import write_curves
from bids_qmri.techniques.irt1.protocol import InversionProtocol
from bids_qmri.units import FloatArray


def curves(model: object, protocol: InversionProtocol, theta: FloatArray) -> npt.NDArray[np.float32]:
    """Return the signals with an amplitude of 1, (N, M), of parameters (3, M), in single precision."""
    found = np.empty((protocol.n_measurements, theta.shape[1]), dtype=np.float32)
    times = np.asarray(protocol.inversion_time, dtype=np.float64)
    write_curves(times, np.ascontiguousarray(theta), found)
    return found
