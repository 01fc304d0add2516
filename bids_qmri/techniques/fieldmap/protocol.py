"""Phases of gradient echoes at several echo times. Times in s, frequencies in Hz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import Axis, IntArray, Protocol, frozen, short
from bids_qmri.units import FloatArray

LONGEST = 1.0
"""s; a longer echo time is in milliseconds."""


@dataclass(frozen=True, eq=False)
class ComplexEchoes(Protocol):
    """Complex images: the real parts of all echoes are measurements 0 to N - 1, the imaginary ones follow.

    Parameters
    ----------
    echo_time
        In s, all different, shape (N,).
    weighted
        1 if magnitudes were measured; 0 if phases alone were, which stand for complex numbers of size 1.
    """

    echo_time: FloatArray
    weighted: FloatArray = 1.0  # type: ignore[assignment]

    def __post_init__(self) -> None:
        times = frozen(self.echo_time, "EchoTime")
        if np.any(times <= 0) or np.any(times > LONGEST):
            raise InputError(
                f"echo times are {short(times)}",
                field="EchoTime",
                needed=f"seconds, above 0 and at most {LONGEST:g}",
                fix="divide milliseconds by 1000",
            )
        if np.unique(times).size < times.size:
            raise InputError(
                f"echo times are {short(times)}",
                field="EchoTime",
                needed="every echo time once",
                fix="leave repeats out",
            )
        object.__setattr__(self, "echo_time", times)
        object.__setattr__(self, "weighted", np.asarray(self.weighted, dtype=np.float64))

    def together(self) -> bool:
        return True

    @property
    def n_measurements(self) -> int:
        return 2 * int(self.echo_time.size)

    @property
    def limit(self) -> float:
        """Largest frequency in Hz, of either sign, that the shortest spacing tells from others."""
        return float(0.5 / np.min(np.diff(np.sort(self.echo_time))))

    def reference(self) -> IntArray:
        return np.arange(self.echo_time.size)

    def magnitudes(self) -> IntArray:
        """Return the place of magnitudes among the images as measured: before the phases, if any are."""
        return np.arange(self.echo_time.size if self.weighted else 0)

    def axis(self, fitted: FloatArray) -> Axis:
        return Axis(
            "real parts of all echoes, then imaginary ones", np.arange(1.0, 1.0 + self.n_measurements)
        )

    def sidecar_fields(self) -> dict[str, Any]:
        return {"EchoTime": short(self.echo_time)}


@dataclass(frozen=True)
class PhaseImages:
    """What the phase images of a scan hold.

    Parameters
    ----------
    scale
        rad in one unit of them.
    """

    scale: float = 1.0
