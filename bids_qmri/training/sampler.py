"""Random protocols: those of the reference study, and broader ones that networks for general use train on.

The study is Kuppens et al. (neural controlled differential equations for quantitative MRI): its Table 2
(variable protocols) and Table 3 (fixed ones). Every function takes a numpy Generator and nothing else random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bids_qmri.protocol import DceProtocol, DiffusionProtocol, Protocol, VfaProtocol
from bids_qmri.training.aifs import random_input
from bids_qmri.training.boxes import Range
from bids_qmri.units import FloatArray

TABLE3_FLIP_ANGLES = (1.0, 6.0, 10.0, 25.0)
"""Degrees."""
TABLE3_BVALS = (0.0, 10.0, 20.0, 50.0, 100.0, 300.0, 600.0)
"""s/mm^2."""
TABLE3_TIMES = tuple(9.0 * frame for frame in range(1, 18))
"""s after the arrival of the bolus."""

CLINICAL_BVALS = np.array(
    [
        10,
        20,
        30,
        40,
        50,
        60,
        75,
        80,
        100,
        120,
        150,
        200,
        250,
        300,
        400,
        500,
        600,
        700,
        800,
        900,
        1000,
        1200,
        1500,
    ],
    dtype=np.float64,
)
"""b-values that scanners are asked for, s/mm^2."""

SMALLEST_RATIO = 1.5
"""Largest over smallest flip angle, at least: nearly equal angles cannot tell T1 from the amplitude."""

LEAST_WINDOW = 45.0
"""Seconds of a dynamic series after the arrival of the bolus, at least."""


@dataclass(frozen=True)
class VfaRanges:
    """Broad VFA protocols: number of flip angles, angles in degrees, TR in s (log-uniform), B1 factors."""

    measurements: tuple[int, int]
    flip_angle: Range
    repetition_time: Range
    b1: Range
    b1_share: float


@dataclass(frozen=True)
class IvimRanges:
    """Broad IVIM protocols: number of b-values, and range of the largest one in s/mm^2.

    `averages_share` is the share of protocols in which the weighted images are averages of `averages` images.
    """

    measurements: tuple[int, int]
    largest_b: Range
    averages: tuple[int, int]
    averages_share: float


@dataclass(frozen=True)
class DceRanges:
    """Broad DCE protocols: number of frames, seconds between them, latest arrival of the bolus in s."""

    measurements: tuple[int, int]
    interval: Range
    arrival: float


Ranges = VfaRanges | IvimRanges | DceRanges


def paper_vfa(
    rng: np.random.Generator, repetition_time: float = 0.005, length: int | None = None
) -> VfaProtocol:
    """Draw 3-8 flip angles as in Table 2: 1 degree, one in 3-10, one in 15-30, the others equidistant.

    Parameters
    ----------
    repetition_time
        Seconds; the study does not print its value.
    length
        Number of flip angles; None draws it.
    """
    count = int(rng.integers(3, 9)) if length is None else length
    middle, largest = rng.uniform(3.0, 10.0), rng.uniform(15.0, 30.0)
    between = np.linspace(1.0, largest, count - 1)[1:-1]
    return _vfa(np.concatenate([[1.0, middle, largest], between]), repetition_time)


def paper_ivim(rng: np.random.Generator, length: int | None = None) -> DiffusionProtocol:
    """Draw 4-10 b-values as in Table 2: 0, a quarter each below 50 and in 50-99, the others in 100-800."""
    count = int(rng.integers(4, 11)) if length is None else length
    low = -(-(count - 1) // 2)
    lowest = -(-low // 2)
    drawn = [rng.integers(1, 50, lowest), rng.integers(50, 100, low - lowest)]
    drawn.append(rng.integers(100, 801, (count - 1) // 2))
    return DiffusionProtocol(np.sort(np.concatenate([[0], *drawn])).astype(np.float64))


def paper_times(rng: np.random.Generator, length: int | None = None) -> FloatArray:
    """Draw 15-20 frame times as in Table 2: one interval in 8-12 s, from the arrival of the bolus on."""
    count = int(rng.integers(15, 21)) if length is None else length
    return np.asarray(rng.uniform(8.0, 12.0) * np.arange(1, count + 1))


def broad_vfa(rng: np.random.Generator, ranges: VfaRanges) -> VfaProtocol:
    """Draw flip angles: scattered or evenly spaced between two ends, half of them with 1 degree as well."""
    count = int(rng.integers(ranges.measurements[0], ranges.measurements[1] + 1))
    low, high = ranges.flip_angle
    smallest = np.exp(rng.uniform(np.log(low), np.log(high / (2 * SMALLEST_RATIO))))
    largest = rng.uniform(max(SMALLEST_RATIO * smallest, 0.1 * high), high)
    if rng.random() < 0.5:
        smallest = low
    scale = rng.integers(3)
    if scale == 0:
        flip = np.linspace(smallest, largest, count)
    elif scale == 1:
        flip = np.geomspace(smallest, largest, count)
    else:
        flip = np.concatenate([[smallest, largest], rng.uniform(smallest, largest, count - 2)])
    return _vfa(flip, float(np.exp(rng.uniform(*np.log(ranges.repetition_time)))))


def _vfa(degrees: FloatArray, repetition_time: float) -> VfaProtocol:
    return VfaProtocol(np.deg2rad(np.sort(degrees)), np.full(degrees.size, repetition_time))


def broad_ivim(rng: np.random.Generator, ranges: IvimRanges) -> DiffusionProtocol:
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


def _different_bvals(rng: np.random.Generator, ranges: IvimRanges, count: int) -> FloatArray:
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


def broad_times(rng: np.random.Generator, ranges: DceRanges) -> tuple[FloatArray, float]:
    """Draw frame times in s, and the time at which the bolus arrives."""
    while True:
        count = int(np.round(np.exp(rng.uniform(*np.log(ranges.measurements)))))
        interval = float(np.exp(rng.uniform(*np.log(ranges.interval))))
        arrival = float(rng.choice([0.0, rng.uniform(0.0, ranges.arrival)]))
        if count * interval - arrival >= LEAST_WINDOW:
            return np.asarray(interval * np.arange(1, count + 1), dtype=np.float64), arrival


def sample_protocol(ranges: Ranges, paper_share: float, rng: np.random.Generator) -> Protocol:
    """Draw a protocol: of Table 2 with probability `paper_share`, else a broad one."""
    paper = rng.random() < paper_share
    if isinstance(ranges, VfaRanges):
        return paper_vfa(rng, float(np.exp(rng.uniform(*PAPER_LOG_TR)))) if paper else broad_vfa(rng, ranges)
    if isinstance(ranges, IvimRanges):
        return paper_ivim(rng) if paper else broad_ivim(rng, ranges)
    time, arrival = (paper_times(rng), 0.0) if paper else broad_times(rng, ranges)
    return DceProtocol(time, *random_input(arrival, float(time[-1]), float(time[1] - time[0]), rng))


PAPER_LOG_TR = (np.log(0.003), np.log(0.012))
"""Logarithms of the TR in s that go with the flip angles of Table 2; 5 and 7 ms are the likely ones."""

RANGES: dict[str, Callable[..., Ranges]] = {"vfa": VfaRanges, "ivim": IvimRanges, "etofts": DceRanges}
"""Kind of ranges by model name."""
