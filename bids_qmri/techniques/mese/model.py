"""Mono-exponential decay of spin echoes: S = S0 exp(-TE / T2). Times in s, R2 in 1/s.

Where pulses do not refocus all, stimulated echoes lengthen the decay: `stimulated` has a model of these.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bids_qmri.physics.echoes import MonoExponential
from bids_qmri.physics.model import Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol


class SpinEchoes(MonoExponential):
    """One exponential."""

    name: ClassVar[str] = "mese"
    protocol: ClassVar[type[Protocol]] = SpinEchoProtocol
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "t2",
            "T2",
            "s",
            (1e-3, 5.0),
            (0.01, 0.3),
            "Transverse relaxation time.",
            # Tendon and cortical bone have some milliseconds; fluid some 2 s.
            prior=(0.003, 2.5),
            typical=0.08,
            logarithmic=True,
            nodes=64,
        ),
        Parameter("s0", "S0", "1", (0.0, np.inf), (0.5, 2.0), "Signal at an echo time of 0."),
    )
    amplitude: ClassVar[str | None] = "s0"
    main: ClassVar[tuple[str, ...]] = ("t2",)


MESE = SpinEchoes()
