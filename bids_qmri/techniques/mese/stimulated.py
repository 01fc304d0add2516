"""Spin echoes with stimulated echoes: an extended phase graph of a CPMG train. Times in s, angles in rad.

All states of such a train are real. In units of the dephasing between a pulse and an echo they are odd at
pulses, so that half of the graph is never filled; longitudinal recovery never reaches an echo. Hennig 1988,
doi:10.1016/0022-2364(88)90128-X; as a fit of T2 and B1: Lebel and Wilman 2010, doi:10.1002/mrm.22487.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bids_qmri.physics.dictionary import grid, nearest_atom
from bids_qmri.physics.echoes import missing_echoes
from bids_qmri.physics.model import Model, Parameter, Setting
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.mese.model import MESE
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol
from bids_qmri.units import FloatArray

T2_POINTS, B1_POINTS = 32, 8
"""Values of the first estimate."""

T1 = Setting("t1", "s", (0.1, 6.0), "T1", "Longitudinal relaxation time, which stimulated echoes decay with.")


@dataclass(frozen=True)
class StimulatedEchoes(Model):
    """One T2, and the share of the nominal refocusing angle that is reached."""

    name: ClassVar[str] = "epg"
    protocol: ClassVar[type[Protocol]] = SpinEchoProtocol
    parameters: ClassVar[tuple[Parameter, ...]] = (
        MESE.parameters[0],
        Parameter(
            "b1",
            "B1+",
            "1",
            (0.3, 1.0),
            (0.6, 1.0),
            "Actual over nominal refocusing angle; of 180 degrees, more than all looks like less.",
            prior=(0.5, 1.0),
            nodes=12,
        ),
        MESE.parameters[1],
    )
    amplitude: ClassVar[str | None] = "s0"
    settings: ClassVar[tuple[Setting, ...]] = (T1,)
    main: ClassVar[tuple[str, ...]] = ("t2",)

    t1: float = 1.0

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, SpinEchoProtocol):
            return "no train of spin echoes"
        if np.unique(protocol.echo_time).size < 3:
            return f"{np.unique(protocol.echo_time).size} different echo times; 3 are needed"
        if not protocol.spacing:
            times = ", ".join(f"{1000 * time:g}" for time in protocol.echo_time)
            return f"echo times {times} ms: an even train that starts with its spacing is needed"
        return ""

    def mend(self, protocol: Protocol) -> str:
        return missing_echoes(protocol)

    def signal(self, theta: FloatArray, protocol: SpinEchoProtocol) -> FloatArray:
        t2, b1, s0 = theta
        echoes = train(t2, b1 * protocol.refocusing_angle, self.t1, protocol.spacing, protocol.n_measurements)
        return np.asarray(s0 * echoes[0])

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: SpinEchoProtocol
    ) -> tuple[FloatArray, FloatArray]:
        t2, b1, s0 = theta
        angle = protocol.refocusing_angle
        echoes, by_t2, by_angle = train(t2, b1 * angle, self.t1, protocol.spacing, protocol.n_measurements)
        return s0 * echoes, np.stack([s0 * by_t2, s0 * angle * by_angle, echoes])

    def start(
        self, signal: FloatArray, protocol: SpinEchoProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        values = {
            "t2": grid(lower[0], upper[0], T2_POINTS, logarithmic=True),
            "b1": grid(lower[1], upper[1], B1_POINTS),
        }
        shared = protocol if not protocol.by_voxel else _typical(protocol)
        return nearest_atom(self, signal, shared, values)


EPG = StimulatedEchoes()


def _typical(protocol: SpinEchoProtocol) -> SpinEchoProtocol:
    """Return one protocol for all voxels, near enough for a first estimate."""
    return SpinEchoProtocol(protocol.echo_time, np.minimum(np.median(protocol.refocusing_angle), np.pi))


def train(
    t2: FloatArray, angle: FloatArray, t1: float, spacing: float, count: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return echoes of unit magnetisation, (N, V), and their derivatives by T2 and by the angle.

    Parameters
    ----------
    t2
        In s, (V,).
    angle
        Actual refocusing angle in rad, (V,).
    t1
        In s.
    spacing
        Time between echoes in s.
    count
        N.
    """
    # First axis: value, derivative by T2, derivative by the angle.
    half = np.exp(-0.5 * spacing / t2)
    decay = np.stack([half**2, half**2 * spacing / t2**2])
    rise = np.exp(-spacing / t1)
    turns = _turns(angle)
    plus, minus, along = (np.zeros((3, count, t2.size)) for _ in range(3))
    plus[0, 0], plus[1, 0] = half, half * 0.5 * spacing / t2**2
    echoes = np.empty((3, count, t2.size))
    for echo in range(count):
        # States farther out than the echoes that are left never come back.
        used = min(echo, count - 1 - echo) + 1
        p, m, z = _turned(plus[:, :used], minus[:, :used], along[:, :used], turns)
        first = m[:, 0]
        echoes[0, echo] = first[0] * half
        echoes[1, echo] = first[1] * half + first[0] * half * 0.5 * spacing / t2**2
        echoes[2, echo] = first[2] * half
        kept = min(used, count - 1 - echo)
        plus[:, 1 : kept + 1] = _decayed(p[:, :kept], decay)
        plus[:, 0] = _decayed(first[:, None], decay)[:, 0]
        minus[:, : used - 1] = _decayed(m[:, 1:used], decay)
        minus[:, used - 1] = 0.0
        along[:, :used] = rise * z
    return echoes[0], echoes[1], echoes[2]


def _turns(angle: FloatArray) -> tuple[FloatArray, ...]:
    """Return cos^2(a/2), sin^2(a/2), sin a, cos a with their derivatives by a, each (2, V)."""
    sine, cosine = np.sin(angle), np.cos(angle)
    return (
        np.stack([0.5 * (1.0 + cosine), -0.5 * sine]),
        np.stack([0.5 * (1.0 - cosine), 0.5 * sine]),
        np.stack([sine, cosine]),
        np.stack([cosine, -sine]),
    )


def _turned(
    plus: FloatArray, minus: FloatArray, along: FloatArray, turns: tuple[FloatArray, ...]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return states, (3, K, V), after a refocusing pulse."""
    near, far, sine, cosine = turns

    def mixed(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
        found = a[0] * plus + b[0] * minus + c[0] * along
        found[2] += a[1] * plus[0] + b[1] * minus[0] + c[1] * along[0]
        return np.asarray(found)

    return (
        mixed(near, far, sine),
        mixed(far, near, -sine),
        mixed(-0.5 * sine, 0.5 * sine, cosine),
    )


def _decayed(states: FloatArray, decay: FloatArray) -> FloatArray:
    """Return states, (3, K, V), after transverse decay between two pulses."""
    found = states * decay[0]
    found[1] += states[0] * decay[1]
    return np.asarray(found)
