"""Frame times and arterial inputs that networks for DCE are trained with. s, mmol/L; rates in 1/min.

Estimates must hold for inputs that training never saw, so those of benchmarks (Parker, measured curves) are
left out on purpose: none of the random inputs is a published population curve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.physics import sampling
from bids_qmri.physics.arterial_input import RATA, rata
from bids_qmri.physics.protocol import IntArray, Protocol, Range
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.units import SECONDS_PER_MINUTE, FloatArray

LEAST_WINDOW = 45.0
"""Seconds of a dynamic series after the arrival of the bolus, at least."""

FINE_STEP = 1.0
"""Distance in s of the samples of a smooth input; straight lines between them are accurate."""

INPUT_STEP = 0.25
"""Seconds between the points of the arterial input of a fixed protocol."""

SAME_INPUT = 0.02
"""Largest difference of an arterial input from that of the study, relative to its maximum."""

MEASURED_SHARE = 0.3
"""Share of the inputs known only at coarse times and with noise, as one measured in an artery is."""

POLE = 1e-4
"""Distance in 1/min that rates keep from those of the input, where the closed form divides zero by zero."""

Input = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Ranges(sampling.Ranges):
    """Broad protocols: number of frames, seconds between them, latest arrival of the bolus in s."""

    measurements: tuple[int, int]
    interval: Range
    arrival: float

    def draw(self, rng: np.random.Generator, paper_share: float) -> DceProtocol:
        paper = rng.random() < paper_share
        time, arrival = (paper_times(rng), 0.0) if paper else broad_times(rng, self)
        return DceProtocol(time, *random_input(arrival, float(time[-1]), float(time[1] - time[0]), rng))

    def coverage(self) -> dict[str, list[float]]:
        return {
            "measurements": list(self.measurements),
            "interval": list(self.interval),
            "arrival": [0.0, self.arrival],
        }


class _Study(sampling.Study):
    """The input of Rata et al., arriving at 0 s."""

    unit = ("log_uptake", "log_input")
    products = (("kep", "ve"),)

    def scales(self, protocol: Protocol) -> dict[str, float]:
        assert isinstance(protocol, DceProtocol)
        known = rata(protocol.time)
        if np.max(np.abs(protocol.values()["aif"] - known)) > SAME_INPUT * known.max():
            raise InputError(
                "another arterial input than that of the training",
                needed="the input of Rata et al., arriving at 0 s",
                fix="use the shipped network",
            )
        return {}

    def curve(self, xp: Any, theta: Any, measured: Any) -> Any:
        kep, ve, vp, t0 = theta.T[..., None]
        minutes = (measured - t0) / SECONDS_PER_MINUTE
        return vp * _input(xp, minutes, None) + kep * ve * _input(xp, minutes, kep)


@dataclass(frozen=True)
class Varied(_Study, sampling.Varied):
    """Table 2."""

    lengths: ClassVar[tuple[int, int]] = (15, 20)

    def draw(self, rng: np.random.Generator, length: int) -> FloatArray:
        return paper_times(rng, length)


@dataclass(frozen=True)
class Fixed(_Study, sampling.Fixed):
    """Frame times in s after arrival of the bolus."""

    time: tuple[float, ...]

    def protocol(self) -> DceProtocol:
        since = np.arange(0.0, self.time[-1] + INPUT_STEP, INPUT_STEP)
        return DceProtocol(np.array(self.time), since, rata(since))


def paper_times(rng: np.random.Generator, length: int | None = None) -> FloatArray:
    """Draw 15-20 frame times as in Table 2: one interval in 8-12 s, from the arrival of the bolus on."""
    count = int(rng.integers(15, 21)) if length is None else length
    return np.asarray(rng.uniform(8.0, 12.0) * np.arange(1, count + 1))


def choose(protocol: DceProtocol, count: int, rng: np.random.Generator) -> IntArray:
    """Choose every second, third, ... frame at random, and of these the first `count`."""
    step = int(rng.integers(1, max(protocol.n_measurements // count, 1) + 1))
    return np.arange(0, protocol.n_measurements, step, dtype=np.intp)[:count]


def broad_times(rng: np.random.Generator, ranges: Ranges) -> tuple[FloatArray, float]:
    """Draw frame times in s, and the time at which the bolus arrives."""
    while True:
        count = int(np.round(np.exp(rng.uniform(*np.log(ranges.measurements)))))
        interval = float(np.exp(rng.uniform(*np.log(ranges.interval))))
        arrival = float(rng.choice([0.0, rng.uniform(0.0, ranges.arrival)]))
        if count * interval - arrival >= LEAST_WINDOW:
            return np.asarray(interval * np.arange(1, count + 1), dtype=np.float64), arrival


def jittered_cosine(rng: np.random.Generator) -> Input:
    """Return the raised-cosine input of Rata et al. with other height, pace and washout.

    Form of doi:10.1007/s00330-015-4012-9.
    """
    height, pace, washout = rng.uniform(0.5, 2.0), np.exp(rng.uniform(-0.4, 0.4)), rng.uniform(-0.05, 0.15)
    return lambda t: height * rata(t * pace) * np.exp(-washout * t / SECONDS_PER_MINUTE)


def gamma_variate(rng: np.random.Generator) -> Input:
    """Return a gamma-variate bolus (doi:10.1161/01.RES.14.6.502) that runs into a two-exponential washout."""
    height, peak = rng.uniform(2.0, 14.0), np.exp(rng.uniform(np.log(5.0), np.log(40.0)))
    shape, rest = rng.uniform(1.5, 6.0), rng.uniform(0.05, 0.4)
    fast, slow = rng.uniform(1.0, 4.0), rng.uniform(8.0, 60.0)
    share = rng.uniform(0.0, 0.7)

    def plasma(t: FloatArray) -> FloatArray:
        x = np.maximum(t, 0.0) / peak
        minutes = np.maximum(t, 0.0) / SECONDS_PER_MINUTE
        bolus = x**shape * np.exp(shape * (1.0 - x))
        washout = share * np.exp(-minutes / fast) + (1.0 - share) * np.exp(-minutes / slow)
        return np.asarray(height * (bolus + rest * (1.0 - np.exp(-x)) ** 2 * washout))

    return plasma


def random_input(
    arrival: float, last: float, interval: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw an input and sample it, smoothly or as a measurement would.

    Given are arrival of the bolus, last frame, and time between frames, the step of measured inputs, in s.
    Returns times on the scan's clock in s and plasma concentrations in mmol/L, each (M,); the first is 0.
    """
    curve = jittered_cosine(rng) if rng.random() < 0.6 else gamma_variate(rng)
    measured = rng.random() < MEASURED_SHARE
    step = interval if measured else FINE_STEP
    since = step * np.arange(int(np.ceil((last - arrival) / step)) + 1, dtype=np.float64)
    plasma = curve(since)
    if measured:
        plasma = plasma + rng.uniform(0.0, 0.05) * plasma.max() * rng.standard_normal(plasma.size)
        plasma[0] = 0.0
    return arrival + since, plasma


def _input(xp: Any, t: Any, kep: Any) -> Any:
    """Return the input of Rata et al. at minutes (V, N), convolved with exp(-kep t) unless that is None."""
    amplitude, washout, recirculation, onset, first, slow, spread, second = RATA
    bolus = spread * _dispersed(xp, t, first, spread, kep)
    later = t - onset
    tail = washout * _dispersed(xp, later, second, slow, kep)
    if kep is None:
        inside = (later >= 0) & (later <= 2 * xp.pi / second)
        again = xp.where(inside, 1 - xp.cos(second * later), 0.0)
    else:
        again = _decaying_cosine(xp, later, second, kep)
    return amplitude * (bolus + recirculation * again + tail)


def _dispersed(xp: Any, t: Any, m: float, rate: float, kep: Any) -> Any:
    """Return one raised cosine convolved with one exponential, or with two."""
    once = _decaying_cosine(xp, t, m, xp.full_like(t[:, :1], rate))
    if kep is None:
        return once
    away = xp.where(abs(kep - rate) < POLE, rate + POLE, kep)
    return (once - _decaying_cosine(xp, t, m, away)) / (away - rate)


def _decaying_cosine(xp: Any, t: Any, m: float, k: Any) -> Any:
    """Return 1 - cos(m t), one period of it, convolved with exp(-k t)."""
    inside = xp.clip(t, 0.0, 2 * xp.pi / m)
    decay = xp.exp(-k * inside)
    oscillation = (k * xp.cos(m * inside) + m * xp.sin(m * inside) - k * decay) / (k**2 + m**2)
    return ((1.0 - decay) / k - oscillation) * xp.exp(-k * xp.clip(t - inside, 0.0, np.inf))
