"""Protocols that networks for IVIM are trained with. b in s/mm^2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bids_qmri.physics import sampling
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.protocol import IntArray, Range
from bids_qmri.units import FloatArray

CLINICAL_BVALS = np.array(
    [
        *(10, 20, 30, 40, 50, 60, 75, 80, 100, 120, 150, 200, 250, 300, 400, 500, 600, 700, 800, 900),
        *(1000, 1200, 1500),
    ],
    dtype=np.float64,
)
"""b-values that scanners are asked for, s/mm^2."""


@dataclass(frozen=True)
class Ranges(sampling.Ranges):
    """Broad protocols: number of b-values, and range of the largest one in s/mm^2.

    `averages_share` is the share of protocols in which the weighted images are averages of `averages` images.
    """

    measurements: tuple[int, int]
    largest_b: Range
    averages: tuple[int, int]
    averages_share: float

    def draw(self, rng: np.random.Generator, paper_share: float) -> DiffusionProtocol:
        return paper_ivim(rng) if rng.random() < paper_share else broad_ivim(rng, self)

    def coverage(self) -> dict[str, list[float]]:
        return {
            "measurements": list(self.measurements),
            "bvals": [0.0, self.largest_b[1]],
            "largest_b": list(self.largest_b),
        }


class _Study(sampling.Study):
    def curve(self, xp: Any, theta: Any, measured: Any) -> Any:
        d, dstar, f, s0 = theta.T[..., None]
        return s0 * ((1.0 - f) * xp.exp(-measured * d) + f * xp.exp(-measured * dstar))


@dataclass(frozen=True)
class Varied(_Study, sampling.Varied):
    """Table 2."""

    lengths: ClassVar[tuple[int, int]] = (4, 10)

    def draw(self, rng: np.random.Generator, length: int) -> FloatArray:
        return paper_ivim(rng, length).bvals


@dataclass(frozen=True)
class Fixed(_Study, sampling.Fixed):
    """b-values in s/mm^2."""

    bvals: tuple[float, ...]

    def protocol(self) -> DiffusionProtocol:
        return DiffusionProtocol(np.array(self.bvals))


def paper_ivim(rng: np.random.Generator, length: int | None = None) -> DiffusionProtocol:
    """Draw 4-10 b-values as in Table 2: 0, a quarter each below 50 and in 50-99, the others in 100-800."""
    count = int(rng.integers(4, 11)) if length is None else length
    low = -(-(count - 1) // 2)
    lowest = -(-low // 2)
    drawn = [rng.integers(1, 50, lowest), rng.integers(50, 100, low - lowest)]
    drawn.append(rng.integers(100, 801, (count - 1) // 2))
    return DiffusionProtocol(np.sort(np.concatenate([[0], *drawn])).astype(np.float64))


def choose(protocol: DiffusionProtocol, count: int, rng: np.random.Generator) -> IntArray:
    """Draw b-values by Table 2 from those measured; what one range lacks comes from the others."""
    values = protocol.bvals
    low = -(-(count - 1) // 2)
    few = -(-low // 2)
    kept = [int(np.argmin(values))]
    for first, last, number in ((1, 50, few), (50, 100, low - few), (100, 801, count - 1 - low)):
        inside = [i for i in np.flatnonzero((values >= first) & (values < last)) if i not in kept]
        kept += [int(i) for i in rng.permutation(inside)[:number]]
    rest = [i for i in rng.permutation(values.size) if i not in kept]
    return np.sort(np.array([*kept, *rest[: count - len(kept)]], dtype=np.intp))


def broad_ivim(rng: np.random.Generator, ranges: Ranges) -> DiffusionProtocol:
    """Draw b-values: customary ones, repeated ones, or scattered on a linear or logarithmic scale."""
    first, last = ranges.measurements
    count = int(np.round(np.exp(rng.uniform(np.log(first - 0.49), np.log(last + 0.49)))))
    distinct = count if rng.random() < 0.75 else max(first, count // int(rng.integers(2, 4)))
    bvals = _different_bvals(rng, ranges, distinct)
    bvals = np.sort(np.concatenate([bvals, np.resize(bvals, count - bvals.size)]))
    if rng.random() >= ranges.averages_share:
        return DiffusionProtocol(bvals)
    images = int(rng.integers(ranges.averages[0], ranges.averages[1] + 1))
    return DiffusionProtocol(bvals, averages=np.where(bvals > 0, images, 1.0))


def _different_bvals(rng: np.random.Generator, ranges: Ranges, count: int) -> FloatArray:
    """Draw 0, a largest b-value, and others between them; fewer than `count` where there are no more."""
    largest = np.round(rng.uniform(*ranges.largest_b))
    usual = CLINICAL_BVALS[largest > CLINICAL_BVALS]
    kind = rng.integers(3)
    while True:
        if kind == 0:
            drawn = rng.choice(usual, min(count - 2, usual.size), replace=False)
        elif kind == 1:
            drawn = np.exp(rng.uniform(np.log(5.0), np.log(largest), count - 2))
        else:
            drawn = rng.uniform(1.0, largest, count - 2)
        bvals = np.unique(np.round(np.concatenate([[0.0, largest], drawn])))
        if bvals.size >= ranges.measurements[0]:
            return bvals
