"""What to say of a pair of which the MT pulse made signals larger.

Found through the catalogue by `interfaces.fit`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.preparation import Preparation
from bids_qmri.physics.model import Model
from bids_qmri.physics.transfer import pulse_remarks
from bids_qmri.techniques.mtr.protocol import TransferProtocol
from bids_qmri.units import FloatArray


def remarks_on(
    model: Model, how: Preparation, measured: tuple[FloatArray, npt.NDArray[np.intp]]
) -> tuple[str, ...]:
    """Return what to say; arguments as of every technique that remarks on signals."""
    signal, protocol = how.convert(*measured)
    assert isinstance(protocol, TransferProtocol)
    off, on = (signal[:, protocol.mt == state].mean(axis=1) for state in (0, 1))
    return pulse_remarks(on, off)
