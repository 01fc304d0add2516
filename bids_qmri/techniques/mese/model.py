"""Mono-exponential decay of spin echoes: S = S0 exp(-TE / T2). Times in s, R2 in 1/s.

Where pulses do not refocus all, stimulated echoes lengthen the decay: `stimulated` has a model of these.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bids_qmri.physics.dictionary import grid, nearest_atom
from bids_qmri.physics.echoes import EchoProtocol, decay
from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol
from bids_qmri.units import FloatArray

GRID_POINTS = 48
"""T2 values of the first estimate."""


class SpinEchoes(Model):
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
        return nearest_atom(self, signal, protocol, {"t2": values})


MESE = SpinEchoes()
