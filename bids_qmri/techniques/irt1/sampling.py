"""Inversion times that networks are trained with. Times in s."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_qmri.physics import sampling
from bids_qmri.physics.protocol import Protocol, Range
from bids_qmri.techniques.irt1.protocol import InversionProtocol


@dataclass(frozen=True)
class Ranges(sampling.Ranges):
    """Number of inversion times, the shortest and the longest in s; even, log-even or scattered."""

    measurements: tuple[int, int]
    shortest: Range
    longest: Range

    def draw(self, rng: np.random.Generator, paper_share: float) -> Protocol:
        count = int(np.round(np.exp(rng.uniform(*np.log(np.add(self.measurements, (-0.49, 0.49)))))))
        first, last = (float(sampling.log_uniform(ends, 1, rng)[0]) for ends in (self.shortest, self.longest))
        kind = rng.integers(3)
        if kind == 0:
            times = np.linspace(first, last, count)
        elif kind == 1:
            times = np.geomspace(first, last, count)
        else:
            between = np.sort(np.exp(rng.uniform(np.log(first), np.log(last), count - 2)))
            times = np.concatenate([[first], between, [last]])
        return InversionProtocol(times)

    def coverage(self) -> dict[str, list[float]]:
        return {
            "measurements": list(self.measurements),
            "inversion_time": [self.shortest[0], self.longest[1]],
        }
