"""Complex signal of gradient echoes: S = S0 exp(-TE R2*) exp(i (2 pi f TE + phi)). f in Hz, times in s.

f is the off-resonance, positive where the phase rises with echo time as it is stored. Robinson and Jovicich
2011, doi:10.1002/mrm.22879.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.fieldmap.protocol import ComplexEchoes
from bids_qmri.units import FloatArray

TURN = 2.0 * np.pi


class OffResonance(Model):
    """One frequency; amplitude, decay and phase at an echo time of 0 are for fits alone."""

    name: ClassVar[str] = "fieldmap"
    protocol: ClassVar[type[Protocol]] = ComplexEchoes
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "b0",
            "B0",
            "Hz",
            (-5000.0, 5000.0),
            (-150.0, 150.0),
            "Off-resonance: frequency over that of the scanner.",
            prior=(-500.0, 500.0),
        ),
        Parameter(
            "s0", "S0", "1", (0.0, np.inf), (500.0, 1500.0), "Signal at an echo time of 0.", internal=True
        ),
        Parameter("r2star", "R2*", "1/s", (-1e4, 1e4), (5.0, 60.0), "Decay of magnitudes.", internal=True),
        Parameter("phase", "phi", "rad", (-100.0, 100.0), (-0.5, 0.5), "Phase at 0.", internal=True),
    )
    amplitude: ClassVar[str | None] = "s0"
    signed: ClassVar[bool] = True
    main: ClassVar[tuple[str, ...]] = ("b0",)

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, ComplexEchoes):
            return "no phases of gradient echoes"
        return "" if protocol.echo_time.size >= 2 else "one echo time; 2 are needed"

    def signal(self, theta: FloatArray, protocol: ComplexEchoes) -> FloatArray:
        frequency, amplitude, rate, phase = theta
        times = protocol.echo_time[:, None]
        size, angle = amplitude * np.exp(-times * rate), TURN * frequency * times + phase
        return np.concatenate([size * np.cos(angle), size * np.sin(angle)])

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: ComplexEchoes
    ) -> tuple[FloatArray, FloatArray]:
        frequency, amplitude, rate, phase = theta
        times = protocol.echo_time[:, None]
        decay, angle = np.exp(-times * rate), TURN * frequency * times + phase
        unit = np.concatenate([decay * np.cos(angle), decay * np.sin(angle)])
        turned = np.concatenate([-decay * np.sin(angle), decay * np.cos(angle)])
        both = np.concatenate([times, times])
        slopes = [TURN * both * amplitude * turned, unit, -both * amplitude * unit, amplitude * turned]
        return amplitude * unit, np.stack(slopes)

    def start(
        self, signal: FloatArray, protocol: ComplexEchoes, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        real, imaginary = np.split(signal, 2)
        order = np.argsort(protocol.echo_time)
        first, second = order[:2]
        echo = real + 1j * imaginary
        step = float(protocol.echo_time[second] - protocol.echo_time[first])
        frequency = np.angle(echo[second] * np.conj(echo[first])) / (TURN * step)
        phase = np.angle(echo[first]) - TURN * frequency * protocol.echo_time[first]
        found = np.stack([frequency, np.abs(echo[first]), np.zeros_like(phase), phase])
        return np.asarray(np.clip(found, lower[:, None], upper[:, None]))


OFF_RESONANCE = OffResonance()
