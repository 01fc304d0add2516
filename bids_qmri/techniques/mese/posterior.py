"""What the posterior of spin echoes has of its own: compiled trains, found through the catalogue."""

from __future__ import annotations

import numpy as np

from bids_qmri.techniques.mese.entries import write_echoes
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol
from bids_qmri.techniques.mese.stimulated import StimulatedEchoes
from bids_qmri.units import FloatArray


def curves(model: object, protocol: SpinEchoProtocol, theta: FloatArray) -> FloatArray | None:
    """Return the signals with an amplitude of 1, (N, M), of parameters (3, M); None for other models."""
    if not isinstance(model, StimulatedEchoes):
        return None
    t2, b1, _ = theta
    angle = b1 * protocol.refocusing_angle
    found = np.empty((protocol.n_measurements, t2.size))
    half = np.exp(-0.5 * protocol.spacing / t2)
    write_echoes(half, np.sin(angle), np.cos(angle), float(np.exp(-protocol.spacing / model.t1)), found)
    return found
