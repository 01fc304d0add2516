"""Mono-exponential decay of gradient echoes: S = S0 exp(-TE / T2*). Times in s, R2* in 1/s.

As in Chavhan et al. 2009, doi:10.1148/rg.295095034.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bids_qmri.physics.echoes import MonoExponential
from bids_qmri.physics.model import Parameter


class GradientEchoes(MonoExponential):
    """One exponential."""

    name: ClassVar[str] = "megre"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "t2star",
            "T2*",
            "s",
            (3e-4, 1.0),
            (0.003, 0.1),
            "Effective transverse relaxation time.",
            # Overloaded liver has some 1 ms; fluid in a good shim some 0.3 s.
            prior=(5e-4, 0.3),
            typical=0.03,
            logarithmic=True,
            nodes=64,
        ),
        Parameter("s0", "S0", "1", (0.0, np.inf), (0.5, 2.0), "Signal at an echo time of 0."),
    )
    amplitude: ClassVar[str | None] = "s0"
    main: ClassVar[tuple[str, ...]] = ("t2star",)


MEGRE = GradientEchoes()
