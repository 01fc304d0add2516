"""Protocols that networks for VFA are trained with. Angles in degrees, TR in s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.physics import sampling
from bids_qmri.physics.protocol import IntArray, Protocol, Range
from bids_qmri.physics.sampling import nearest
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray, degrees

PAPER_LOG_TR = (np.log(0.003), np.log(0.012))
"""Logarithms of the TR in s that go with the flip angles of Table 2; 5 and 7 ms are the likely ones."""

PAPER_LENGTH = 3
"""Least number of flip angles of Table 2."""

SMALLEST_RATIO = 1.5
"""Largest over smallest flip angle, at least: nearly equal angles cannot tell T1 from the amplitude."""


@dataclass(frozen=True)
class Ranges(sampling.Ranges):
    """Broad protocols: number of flip angles, angles in degrees, TR in s (log-uniform), B1 factors.

    `b1_share` is the share of protocols in which B1 varies from voxel to voxel.
    """

    measurements: tuple[int, int]
    flip_angle: Range
    repetition_time: Range
    b1: Range
    b1_share: float

    def draw(self, rng: np.random.Generator, paper_share: float) -> VfaProtocol:
        if rng.random() < paper_share:
            return paper_vfa(rng, float(np.exp(rng.uniform(*PAPER_LOG_TR))))
        return broad_vfa(rng, self)

    def per_voxel(self, protocol: Protocol, count: int, rng: np.random.Generator) -> VfaProtocol:
        assert isinstance(protocol, VfaProtocol)
        return protocol.with_b1(rng.uniform(*self.b1, count)) if rng.random() < self.b1_share else protocol

    def coverage(self) -> dict[str, list[float]]:
        names = ("measurements", "flip_angle", "b1", "repetition_time")
        return {name: list(getattr(self, name)) for name in names}


@dataclass(frozen=True)
class _Study(sampling.Study):
    """One repetition time, in s."""

    repetition_time: float

    def first(self, measured: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the sine of the flip angle: equation 9 of the study."""
        return np.asarray(np.sin(np.deg2rad(measured)))

    def scales(self, protocol: Protocol) -> dict[str, float]:
        assert isinstance(protocol, VfaProtocol)
        if np.ptp(protocol.repetition_time) > 0:
            raise InputError("several repetition times", needed="one, as networks of the study know it")
        # the signal depends on TR / T1 alone
        return {"t1": float(protocol.repetition_time[0]) / self.repetition_time}

    def curve(self, xp: Any, theta: Any, measured: Any) -> Any:
        t1, m0 = theta.T[..., None]
        flip, e1 = xp.deg2rad(measured), xp.exp(-self.repetition_time / t1)
        return m0 * xp.sin(flip) * (1.0 - e1) / (1.0 - e1 * xp.cos(flip))


@dataclass(frozen=True)
class Varied(_Study, sampling.Varied):
    """Table 2, with a repetition time in s, which the study does not print."""

    lengths: ClassVar[tuple[int, int]] = (3, 8)

    def draw(self, rng: np.random.Generator, length: int) -> FloatArray:
        return degrees(paper_vfa(rng, self.repetition_time, length).flip_angle)


@dataclass(frozen=True)
class Fixed(_Study, sampling.Fixed):
    """Flip angles in degrees, and a repetition time in s."""

    flip_angle: tuple[float, ...]

    def protocol(self) -> VfaProtocol:
        return VfaProtocol(np.deg2rad(self.flip_angle), np.array(self.repetition_time))


def paper_vfa(
    rng: np.random.Generator, repetition_time: float = 0.005, length: int | None = None
) -> VfaProtocol:
    """Draw 3-8 flip angles as in Table 2: 1 degree, one in 3-10, one in 15-30, the others equidistant.

    The study does not print its repetition time, in s; a length of None draws the number of flip angles.
    """
    count = int(rng.integers(3, 9)) if length is None else length
    middle, largest = rng.uniform(3.0, 10.0), rng.uniform(15.0, 30.0)
    between = np.linspace(1.0, largest, count - 1)[1:-1]
    return _protocol(np.concatenate([[1.0, middle, largest], between]), repetition_time)


def choose(protocol: VfaProtocol, count: int, rng: np.random.Generator) -> IntArray:
    """Choose the measured flip angles nearest to those of Table 2, none twice."""
    flip = degrees(protocol.flip_angle.reshape(protocol.n_measurements, -1).mean(axis=1))
    if count < PAPER_LENGTH:
        return nearest(flip, np.array([rng.uniform(3.0, 10.0), rng.uniform(15.0, 30.0)])[:count])
    return nearest(flip, degrees(paper_vfa(rng, length=count).flip_angle))


def broad_vfa(rng: np.random.Generator, ranges: Ranges) -> VfaProtocol:
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
    return _protocol(flip, float(np.exp(rng.uniform(*np.log(ranges.repetition_time)))))


def _protocol(flip: FloatArray, repetition_time: float) -> VfaProtocol:
    return VfaProtocol(np.deg2rad(np.sort(flip)), np.full(flip.size, repetition_time))
