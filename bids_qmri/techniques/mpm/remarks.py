"""What to say of weightings that contradict their keys.

Found through the catalogue by `interfaces.fit`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.preparation import Preparation
from bids_qmri.physics.model import Model
from bids_qmri.physics.transfer import pulse_remarks
from bids_qmri.techniques.mpm.protocol import MultiParameterProtocol
from bids_qmri.units import FloatArray


def remarks_on(
    model: Model, how: Preparation, measured: tuple[FloatArray, npt.NDArray[np.intp]]
) -> tuple[str, ...]:
    """Return what to say; arguments as of every technique that remarks on signals."""
    signal, protocol = how.convert(*measured)
    assert isinstance(protocol, MultiParameterProtocol)
    with_pulse = np.flatnonzero(protocol.mt)
    if not with_pulse.size:
        return ()
    first = with_pulse[0]
    like = protocol.mt == 0
    for name in ("flip_angle", "echo_time", "repetition_time"):
        values = getattr(protocol, name)
        like &= np.isclose(values, values[first], rtol=0.05)
    if not like.any():
        return (
            "MTState: no image without an MT pulse has the flip angle, repetition time and first echo time"
            " of those with one: MTsat then rests on T1 and the B1+ map alone; fix: check FlipAngle of all"
            " images if they were acquired alike",
        )
    return pulse_remarks(signal[:, first], signal[:, like].mean(axis=1))
