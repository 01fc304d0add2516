"""Trains of spin echoes that networks are trained with. Times in s, angles in degrees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_qmri.physics import sampling
from bids_qmri.physics.echoes import EchoRanges
from bids_qmri.physics.protocol import Range
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol


@dataclass(frozen=True)
class Ranges(EchoRanges):
    """Number of echoes, first echo time and spacing in s, nominal refocusing angle in degrees.

    `even`: all trains start with their spacing, as stimulated echoes need it; the angle matters only there.
    """

    refocusing_angle: Range
    even: bool

    def draw(self, rng: np.random.Generator, paper_share: float) -> SpinEchoProtocol:
        times = super().draw(rng, paper_share).echo_time
        if self.even:
            spacing = float(sampling.log_uniform(self.spacing, 1, rng)[0])
            times = spacing * np.arange(1, times.size + 1, dtype=np.float64)
        return SpinEchoProtocol(times, np.asarray(np.deg2rad(rng.uniform(*self.refocusing_angle))))

    def coverage(self) -> dict[str, list[float]]:
        found = super().coverage()
        return found | {"refocusing_angle": list(self.refocusing_angle)} if self.even else found
