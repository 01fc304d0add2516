"""Series of echoes after one excitation: what gradient-echo and spin-echo techniques share. Times in s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.physics import sampling
from bids_qmri.physics.dictionary import grid, nearest_atom
from bids_qmri.physics.model import Model
from bids_qmri.physics.protocol import Axis, Protocol, Range, StreamField, ends, frozen, short
from bids_qmri.units import FloatArray

CURVE_POINTS = 64
GRID_POINTS = 48
"""Time constants of the first estimate."""
LONGEST_ECHO_TIME = 5.0
"""s; longer ones are milliseconds."""
LONGEST_GRADIENT_ECHO = 0.3
"""s; nothing is left of gradient echoes then, and the shortest one in milliseconds is longer."""

ECHO_TIME = StreamField(
    "echo_time",
    "echo time",
    ("EchoTime", "TE"),
    header="TE",
    otherwise="TE in the XML header",
    scale=1e-3,
)
"""In s, listed in ms."""


@dataclass(frozen=True, eq=False)
class EchoProtocol(Protocol):
    """Images at several echo times.

    Parameters
    ----------
    echo_time
        In s, shape (N,).
    """

    stream: ClassVar[tuple[StreamField, ...]] = (ECHO_TIME,)
    words: ClassVar[Mapping[str, tuple[str, str]]] = {"echo_time": ("echo times", " s")}
    channels: ClassVar[tuple[str, ...]] = ("echo", "log_echo")

    echo_time: FloatArray

    def __post_init__(self) -> None:
        times = frozen(self.echo_time, "EchoTime")
        if np.any(times <= 0) or np.any(times > LONGEST_ECHO_TIME):
            raise InputError(
                f"echo times are {short(times)}",
                field="EchoTime",
                needed=f"seconds, above 0 and at most {LONGEST_ECHO_TIME:g}",
                fix=f"if they are in milliseconds, write {short(times / 1000)}",
            )
        object.__setattr__(self, "echo_time", times)

    @property
    def n_measurements(self) -> int:
        return int(self.echo_time.size)

    @classmethod
    def from_stream(cls, table: FloatArray, *, b0_threshold: float) -> Self:
        return cls(table[:, 0])

    def together(self) -> bool:
        return True

    def repeat_keys(self) -> FloatArray:
        return self.echo_time[None]

    def averaged(self, average: FloatArray) -> Self:
        return replace(self, echo_time=average @ self.echo_time)

    def extremes(self) -> dict[str, Range]:
        return {"echo_time": ends(self.echo_time)}

    def axis(self, fitted: FloatArray) -> Axis:
        fine = np.linspace(0.5 * self.echo_time.min(), self.echo_time.max(), CURVE_POINTS)
        return Axis("echo time (s)", self.echo_time, (replace(self, echo_time=fine), fine))

    def network_inputs(self) -> tuple[list[FloatArray], list[float | FloatArray]]:
        echo = self.echo_time[:, None]
        return [echo / 0.05, np.log(echo / 0.02)], []

    def sidecar_fields(self) -> dict[str, Any]:
        return {"EchoTime": short(self.echo_time)}


@dataclass(frozen=True)
class EchoRanges(sampling.Ranges):
    """Broad trains of echoes: their number, first echo time and spacing in s, both log-uniform.

    Most trains are even; in one of four the echoes lie anywhere between the first and the last.
    """

    measurements: tuple[int, int]
    first: Range
    spacing: Range

    def draw(self, rng: np.random.Generator, paper_share: float) -> EchoProtocol:
        count = int(np.round(np.exp(rng.uniform(*np.log(np.add(self.measurements, (-0.49, 0.49)))))))
        spacing = float(sampling.log_uniform(self.spacing, 1, rng)[0])
        kind = rng.integers(4)
        first = spacing if kind < 2 else float(sampling.log_uniform(self.first, 1, rng)[0])
        times: FloatArray = first + spacing * np.arange(count, dtype=np.float64)
        if kind == 3:
            times[1:-1] = np.sort(rng.uniform(times[0], times[-1], max(count - 2, 0)))
        return EchoProtocol(times)

    def coverage(self) -> dict[str, list[float]]:
        (_, most), (shortest, longest) = self.measurements, self.spacing
        first = min(self.first[0], shortest)
        return {
            "measurements": list(self.measurements),
            "echo_time": [first, max(self.first[1], longest) + longest * (most - 1)],
        }


def missing_echoes(protocol: Protocol) -> str:
    """Say what mends a series of one echo time."""
    times = np.atleast_1d(getattr(protocol, "echo_time", ()))
    if times.size > 1 and np.unique(times).size == 1:
        return f"write each image's own EchoTime in its sidecar (all have {times[0]:g} s)"
    return "add the images of the other echo times, each with its EchoTime"


class MonoExponential(Model):
    """S = S0 exp(-TE / T): a time constant in s, then the amplitude."""

    protocol: ClassVar[type[Protocol]] = EchoProtocol

    def obstacle(self, protocol: Protocol) -> str:
        times = getattr(protocol, "echo_time", None)
        if times is None:
            return "no echo times"
        if np.unique(times).size >= 2:
            return ""
        return f"one echo time, {times[0]:g} s in {np.size(times)} image(s); 2 are needed"

    def mend(self, protocol: Protocol) -> str:
        return missing_echoes(protocol)

    def signal(self, theta: FloatArray, protocol: EchoProtocol) -> FloatArray:
        return np.asarray(theta[1] * np.exp(-protocol.echo_time[:, None] / theta[0]))

    def signal_and_jacobian(self, theta: FloatArray, protocol: EchoProtocol) -> tuple[FloatArray, FloatArray]:
        constant, amplitude = theta
        rate = protocol.echo_time[:, None] / constant
        by_amplitude = np.exp(-rate)
        signal = amplitude * by_amplitude
        return signal, np.stack([signal * rate / constant, by_amplitude])

    def start(
        self, signal: FloatArray, protocol: EchoProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        values = grid(lower[0], upper[0], GRID_POINTS, logarithmic=True)
        return nearest_atom(self, signal, protocol, {self.parameters[0].name: values})
