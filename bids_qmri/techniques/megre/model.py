"""Mono-exponential decay of gradient echoes: S = S0 exp(-TE / T2*). Times in s, R2* in 1/s.

As in Chavhan et al. 2009, doi:10.1148/rg.295095034.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bids_qmri.physics.dictionary import grid, nearest_atom
from bids_qmri.physics.echoes import EchoProtocol, decay
from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

GRID_POINTS = 48
"""T2* values of the first estimate."""


class GradientEchoes(Model):
    """One exponential."""

    name: ClassVar[str] = "megre"
    protocol: ClassVar[type[Protocol]] = EchoProtocol
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

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, EchoProtocol):
            return "no echo times"
        return "" if np.unique(protocol.echo_time).size >= 2 else "one echo time; 2 are needed"

    def signal(self, theta: FloatArray, protocol: EchoProtocol) -> FloatArray:
        return np.asarray(theta[1] * np.exp(-protocol.echo_time[:, None] / theta[0]))

    def signal_and_jacobian(self, theta: FloatArray, protocol: EchoProtocol) -> tuple[FloatArray, FloatArray]:
        return decay(theta, protocol.echo_time)

    def start(
        self, signal: FloatArray, protocol: EchoProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        values = grid(lower[0], upper[0], GRID_POINTS, logarithmic=True)
        return nearest_atom(self, signal, protocol, {"t2star": values})


MEGRE = GradientEchoes()
