"""Spin echoes at several echo times, in s, and how they are drawn for training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.physics import sampling
from bids_qmri.physics.protocol import Axis, Protocol, Range, StreamField, ends, frozen, short
from bids_qmri.units import FloatArray

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
class ToyProtocol(Protocol):
    """Echo times in s, shape (N,)."""

    stream: ClassVar[tuple[StreamField, ...]] = (ECHO_TIME,)
    words: ClassVar[Mapping[str, tuple[str, str]]] = {"echo_time": ("echo times", " s")}
    channels: ClassVar[tuple[str, ...]] = ("echo",)

    echo_time: FloatArray

    def __post_init__(self) -> None:
        times = frozen(self.echo_time, "EchoTime")
        if np.any(times <= 0):
            raise InputError("an echo time is not positive", field="EchoTime", needed="seconds above 0")
        object.__setattr__(self, "echo_time", times)

    @property
    def n_measurements(self) -> int:
        return int(self.echo_time.size)

    @classmethod
    def from_stream(cls, table: FloatArray, *, b0_threshold: float) -> ToyProtocol:
        return cls(table[:, 0])

    def repeat_keys(self) -> FloatArray:
        return self.echo_time[None]

    def averaged(self, average: FloatArray) -> ToyProtocol:
        return ToyProtocol(average @ self.echo_time)

    def extremes(self) -> dict[str, Range]:
        return {"echo_time": ends(self.echo_time)}

    def axis(self, fitted: FloatArray) -> Axis:
        fine = np.linspace(self.echo_time.min(), self.echo_time.max(), 64)
        return Axis("echo time (s)", self.echo_time, (ToyProtocol(fine), fine))

    def network_inputs(self) -> tuple[list[FloatArray], list[float | FloatArray]]:
        return [self.echo_time[:, None] / 0.05], []

    def sidecar_fields(self) -> dict[str, Any]:
        return {"EchoTime": short(self.echo_time)}


@dataclass(frozen=True)
class Ranges(sampling.Ranges):
    """Number of echoes, evenly spaced, and range of the spacing in s."""

    measurements: tuple[int, int]
    spacing: Range

    def draw(self, rng: np.random.Generator, paper_share: float) -> ToyProtocol:
        count = int(rng.integers(self.measurements[0], self.measurements[1] + 1))
        return ToyProtocol(rng.uniform(*self.spacing) * np.arange(1, count + 1))

    def coverage(self) -> dict[str, list[float]]:
        (_, most), (shortest, longest) = self.measurements, self.spacing
        return {"measurements": list(self.measurements), "echo_time": [shortest, longest * most]}


@dataclass(frozen=True)
class Fixed(sampling.Fixed):
    """Echo times in s."""

    echo_time: tuple[float, ...]

    def protocol(self) -> ToyProtocol:
        return ToyProtocol(np.array(self.echo_time))

    def curve(self, xp: Any, theta: Any, measured: Any) -> Any:
        r2, amp = theta.T[..., None]
        return amp * xp.exp(-measured * r2)
