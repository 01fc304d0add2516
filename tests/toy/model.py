"""Mono-exponential decay: S = S0 exp(-TE R2). TE in s, R2 in 1/s."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bids_qmri.physics.dictionary import grid, nearest_atom
from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray
from toy.protocol import ToyProtocol


class Decay(Model):
    """One exponential."""

    name: ClassVar[str] = "toy"
    protocol: ClassVar[type[Protocol]] = ToyProtocol
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "r2",
            "R2",
            "1/s",
            (0.1, 200.0),
            (2.0, 50.0),
            "Transverse relaxation rate.",
            prior=(0.5, 100.0),
            typical=15.0,
            logarithmic=True,
            nodes=48,
        ),
        Parameter("amp", "S0", "1", (0.0, np.inf), (0.5, 2.0), "Signal at an echo time of 0."),
    )
    amplitude: ClassVar[str | None] = "amp"
    main: ClassVar[tuple[str, ...]] = ("r2",)

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, ToyProtocol):
            return "no echo times"
        return "" if np.unique(protocol.echo_time).size >= 2 else "one echo time; 2 are needed"

    def signal(self, theta: FloatArray, protocol: ToyProtocol) -> FloatArray:
        r2, amp = theta
        return np.asarray(amp * np.exp(-protocol.echo_time[:, None] * r2))

    def signal_and_jacobian(self, theta: FloatArray, protocol: ToyProtocol) -> tuple[FloatArray, FloatArray]:
        signal = self.signal(theta, protocol)
        by_amp = np.exp(-protocol.echo_time[:, None] * theta[0])
        return signal, np.stack([-protocol.echo_time[:, None] * signal, by_amp])

    def start(
        self, signal: FloatArray, protocol: ToyProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        return nearest_atom(self, signal, protocol, {"r2": grid(lower[0], upper[0], 32, logarithmic=True)})


DECAY = Decay()
