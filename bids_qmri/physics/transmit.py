"""What was played out to measure the relative transmit field (B1+), and the field that its images show.

Actual over nominal flip angle, 1 = nominal. Angles in rad, times in s. Signals are (N, V) here, a row for
each image. Used by the readers of fields and by the technique that writes them as maps.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_qmri.physics.protocol import Axis, Protocol, frozen, require_degrees, short
from bids_qmri.units import FloatArray, degrees

WHITE_AND_GREY = 1.192
"""s; T1 of brain at 3 T that magnetisation is taken to be stored with (Lutti et al. 2010)."""

GRID = np.arange(0.2, 2.001, 0.01)
"""Fields among which the best one is looked for."""

LEAST_OF_FIELDS = 3.2
"""Degrees; nobody tells a field by smaller angles, and 180 degrees in rad are below."""

STEPS = 8
"""Of Gauss and Newton from there."""


class TransmitProtocol(Protocol):
    """Images that tell the transmit field by ratios of their signals."""

    @abstractmethod
    def field(self, signal: FloatArray) -> FloatArray:
        """Return actual over nominal flip angle, (V,), of signals (N, V); NaN where they tell none.

        Parameters
        ----------
        signal
            Shape (N, V).
        """

    @abstractmethod
    def contrast(self, field: FloatArray) -> FloatArray:
        """Return the signals (N, V) of fields (V,), all in one amplitude.

        Parameters
        ----------
        field
            Actual over nominal flip angle, shape (V,).
        """

    @property
    def has_noise(self) -> bool:
        """Whether images hold noise that is known where air is."""
        return True


@dataclass(frozen=True, eq=False)
class DoubleAngle(TransmitProtocol):
    """One angle and its double, after full recovery (Insko and Bolinger 1993, doi:10.1006/jmra.1993.1133).

    Parameters
    ----------
    flip_angle
        Nominal, in rad, (2,).
    """

    flip_angle: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "flip_angle", frozen(self.flip_angle, "FlipAngle"))
        require_degrees(self.flip_angle, LEAST_OF_FIELDS)

    @property
    def n_measurements(self) -> int:
        return 2

    def field(self, signal: FloatArray) -> FloatArray:
        first, second = np.argsort(self.flip_angle)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = signal[second] / signal[first]
            return np.asarray(np.arccos(ratio / 2) / self.flip_angle[first])

    def contrast(self, field: FloatArray) -> FloatArray:
        return np.asarray(np.sin(self.flip_angle[:, None] * field))

    def axis(self, fitted: FloatArray) -> Axis:
        return Axis("nominal flip angle (degrees)", np.asarray(degrees(self.flip_angle)))

    def sidecar_fields(self) -> dict[str, Any]:
        return {"FlipAngle": short(degrees(self.flip_angle))}


@dataclass(frozen=True, eq=False)
class TwoRepetitionTimes(TransmitProtocol):
    """One angle at two alternating repetition times (Yarnykh 2007, doi:10.1002/mrm.21120).

    Parameters
    ----------
    flip_angle
        Nominal, in rad, (2,), equal ones.
    repetition_time
        In s, (2,).
    """

    flip_angle: FloatArray
    repetition_time: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "flip_angle", frozen(self.flip_angle, "FlipAngle"))
        require_degrees(self.flip_angle, LEAST_OF_FIELDS)
        times = frozen(self.repetition_time, "RepetitionTimeExcitation")
        object.__setattr__(self, "repetition_time", times)

    @property
    def n_measurements(self) -> int:
        return 2

    def _order(self) -> tuple[int, int, float]:
        short_, long = (int(i) for i in np.argsort(self.repetition_time))
        return short_, long, float(self.repetition_time[long] / self.repetition_time[short_])

    def field(self, signal: FloatArray) -> FloatArray:
        first, second, n = self._order()
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = signal[second] / signal[first]
            return np.asarray(np.arccos((ratio * n - 1) / (n - ratio)) / self.flip_angle[first])

    def contrast(self, field: FloatArray) -> FloatArray:
        first, second, n = self._order()
        turn = np.cos(self.flip_angle[first] * field)
        found = np.empty((2, turn.size))
        found[first], found[second] = n + turn, 1 + n * turn
        return found

    def axis(self, fitted: FloatArray) -> Axis:
        return Axis("repetition time (s)", self.repetition_time)

    def sidecar_fields(self) -> dict[str, Any]:
        return {
            "FlipAngle": short(degrees(self.flip_angle)),
            "RepetitionTimesExcitation": short(self.repetition_time),
        }


@dataclass(frozen=True, eq=False)
class StimulatedEchoes(TransmitProtocol):
    """Spin and stimulated echoes at one angle or several: their ratio is cos(angle) exp(-mixing time / T1).

    Jiru and Klose 2006, doi:10.1002/mrm.21083; several angles as in Lutti et al. 2010, doi:10.1002/mrm.22421.
    Images are all spin echoes, then all stimulated ones, in the order of `flip_angle`.

    Parameters
    ----------
    flip_angle
        Nominal, in rad, (K,).
    mixing_time
        For which the stimulated echo is stored, in s.
    t1
        With which it decays meanwhile, in s.
    """

    flip_angle: FloatArray
    mixing_time: FloatArray
    t1: FloatArray = WHITE_AND_GREY  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "flip_angle", frozen(self.flip_angle, "FlipAngle"))
        for name in ("mixing_time", "t1"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))

    @property
    def n_measurements(self) -> int:
        return 2 * self.flip_angle.size

    @property
    def kept(self) -> float:
        """Share of the stored magnetisation that is left."""
        return float(np.exp(-self.mixing_time / self.t1))

    def field(self, signal: FloatArray) -> FloatArray:
        """Return the field whose cosines explain the stimulated echoes best, given the spin echoes.

        Magnitudes do not tell the sign of a cosine; angles on both sides of 90 degrees do.
        """
        spin, stored = np.split(signal, 2)
        usable = np.all(np.isfinite(signal), axis=0) & np.all(spin > 0, axis=0)
        angle = self.flip_angle[:, None]
        cost = np.stack([self._cost(spin, stored, np.full(spin.shape[1], b)) for b in GRID])
        # Of two fields that explain one angle alike, the one nearer to nominal.
        cost += 1e-9 * np.sum(signal**2, axis=0) * (GRID[:, None] - 1.0) ** 2
        found = GRID[np.argmin(np.where(np.isfinite(cost), cost, np.inf), axis=0)]
        for _ in range(STEPS):
            cosine = np.cos(angle * found)
            slope = -self.kept * angle * np.sin(angle * found) * np.sign(cosine) * spin
            rest = stored - self.kept * np.abs(cosine) * spin
            curvature = np.sum(slope**2, axis=0)
            step = np.sum(slope * rest, axis=0) / np.where(curvature > 0, curvature, np.inf)
            found = np.clip(found + np.clip(np.nan_to_num(step), -0.02, 0.02), GRID[0], GRID[-1])
        inside = usable & (found > GRID[0]) & (found < GRID[-1])
        return np.where(inside, found, np.nan)

    def _cost(self, spin: FloatArray, stored: FloatArray, field: FloatArray) -> FloatArray:
        explained = self.kept * np.abs(np.cos(self.flip_angle[:, None] * field)) * spin
        return np.asarray(np.sum((stored - explained) ** 2, axis=0))

    def contrast(self, field: FloatArray) -> FloatArray:
        angle = self.flip_angle[:, None] * field
        spin = np.abs(np.sin(angle)) ** 3
        return np.concatenate([spin, self.kept * np.abs(np.cos(angle)) * spin])

    def axis(self, fitted: FloatArray) -> Axis:
        order = np.arange(self.n_measurements)
        angles = np.tile(degrees(self.flip_angle), 2)
        return Axis(
            "spin echoes, then stimulated echoes, by flip angle", angles, order=(order,) * len(fitted)
        )

    def sidecar_fields(self) -> dict[str, Any]:
        return {
            "FlipAngle": short(degrees(self.flip_angle)),
            "MixingTime": float(self.mixing_time),
            "StorageT1": float(self.t1),
        }


@dataclass(frozen=True, eq=False)
class ScaledField(TransmitProtocol):
    """A map of the field that the scanner computed, in a unit that is known.

    Parameters
    ----------
    worth
        Actual over nominal flip angle of one unit.
    """

    worth: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "worth", np.asarray(self.worth, dtype=np.float64))

    @property
    def n_measurements(self) -> int:
        return 1

    @property
    def has_noise(self) -> bool:
        return False

    def field(self, signal: FloatArray) -> FloatArray:
        return np.asarray(np.where(signal[0] > 0, signal[0] * self.worth, np.nan))

    def contrast(self, field: FloatArray) -> FloatArray:
        return np.asarray(field[None] / self.worth)

    def sidecar_fields(self) -> dict[str, Any]:
        return {"FieldOfOneUnit": float(self.worth)}
