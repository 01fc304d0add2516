"""A dynamic series that the tests of several estimators share."""

from __future__ import annotations

import numpy as np
from simulated import draw

from bids_qmri.physics.arterial_input import parker
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.units import FloatArray

AIF_TIME = np.arange(0.0, 400.0, 1.0)


def series(time: FloatArray) -> DceProtocol:
    """Return a protocol of these frame times, in s."""
    return DceProtocol(time, AIF_TIME, parker(AIF_TIME) / 0.6)


DCE_PROTOCOL = series(np.arange(9.0, 154.0, 9.0))


def dynamic(
    snr: float, voxels: int, protocol: DceProtocol = DCE_PROTOCOL
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return parameters (4, V), noisy concentrations (V, N) and their noise (V,), relative to the maximum."""
    theta = draw(EXTENDED_TOFTS, voxels)
    clean = EXTENDED_TOFTS.signal(theta, protocol)
    sigma = clean.max(axis=0) / snr
    noise = np.random.default_rng(1).standard_normal(clean.shape)
    return theta, (clean + sigma * noise).T, sigma
