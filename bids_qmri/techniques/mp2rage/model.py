"""The steady state of MP2RAGE: longitudinal magnetisation through one cycle, and the two images' signals.

Marques et al. 2010, doi:10.1016/j.neuroimage.2009.10.002. Times in s. Every step of a cycle takes the
magnetisation m to a m + b, in units of that at rest; the steady state is where a cycle leads to itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bids_qmri.physics.model import Model, Parameter, Setting
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.mp2rage.protocol import Mp2rageProtocol
from bids_qmri.units import FloatArray

STEP = 1e-5
"""Relative change of T1 by which derivatives are told."""

EFFICIENCY = Setting(
    "efficiency",
    "1",
    (0.5, 1.0),
    "InversionEfficiency",
    "Share of the magnetisation that the adiabatic pulse inverts.",
)


@dataclass(frozen=True)
class Mp2rage(Model):
    """Two readouts after one inversion."""

    name: ClassVar[str] = "mp2rage"
    protocol: ClassVar[type[Protocol]] = Mp2rageProtocol
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "t1",
            "T1",
            "s",
            (0.05, 6.0),
            (0.5, 3.0),
            "Longitudinal relaxation time.",
            prior=(0.05, 5.0),
            logarithmic=True,
        ),
    )
    settings: ClassVar[tuple[Setting, ...]] = (EFFICIENCY,)
    signed: ClassVar[bool] = True
    main: ClassVar[tuple[str, ...]] = ("t1",)

    efficiency: float = 0.96

    def obstacle(self, protocol: Protocol) -> str:
        return "" if isinstance(protocol, Mp2rageProtocol) else "no two images after one inversion"

    def signal(self, theta: FloatArray, protocol: Mp2rageProtocol) -> FloatArray:
        """Return the combination of both images, (1, V): amplitudes are not told."""
        return combination(readouts(theta[0], self.efficiency, protocol))[None]

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: Mp2rageProtocol
    ) -> tuple[FloatArray, FloatArray]:
        step = STEP * theta
        slope = (self.signal(theta + step, protocol) - self.signal(theta - step, protocol)) / (2.0 * step)
        return self.signal(theta, protocol), slope[None]

    def predict(self, maps: Mapping[str, FloatArray], protocol: Mp2rageProtocol) -> FloatArray | None:
        t1 = np.asarray(maps["t1"], dtype=np.float64)
        if protocol.combined:
            return np.asarray(self.signal(t1[None], protocol).T)
        return np.asarray((maps["m0"] * readouts(t1, self.efficiency, protocol)).T) if "m0" in maps else None

    def draw(self, count: int, rng: np.random.Generator) -> dict[str, FloatArray]:
        return super().draw(count, rng) | {"m0": rng.uniform(0.5, 2.0, count)}

    def start(
        self, signal: FloatArray, protocol: Mp2rageProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        return np.full((1, signal.shape[1]), float(np.sqrt(lower[0] * upper[0])))


MP2RAGE = Mp2rage()


def combination(images: FloatArray) -> FloatArray:
    """Return S1 S2 / (S1^2 + S2^2) of signed images (2, V), from -0.5 to 0.5, (V,): the "uniform" image."""
    first, second = images
    power = first**2 + second**2
    return np.asarray(first * second / np.where(power > 0, power, np.inf))


def readouts(t1: FloatArray, efficiency: float, protocol: Mp2rageProtocol) -> FloatArray:
    """Return the signals of both images, (2, V), of unit magnetisation at rest.

    Parameters
    ----------
    t1
        In s, (V,).
    efficiency
        Of the inversion.
    protocol
        Of all voxels, or with their fields.
    """
    t1 = np.asarray(t1, dtype=np.float64)
    before, between, after = (np.exp(-wait / t1) for wait in protocol.waits())
    e1 = np.exp(-float(protocol.repetition_time) / t1)
    angles = [angle * protocol.b1 for angle in protocol.flip_angle]
    # What a cycle does to the magnetisation just before the inversion, step by step: a m + b.
    a, b = np.full_like(t1, -efficiency), np.zeros_like(t1)
    centres = []
    for wait, angle in zip((before, between), angles, strict=True):
        a, b = a * wait, b * wait + (1.0 - wait)
        a, b = _excited(a, b, angle, e1, float(protocol.shots[0]))
        centres.append((a, b))
        a, b = _excited(a, b, angle, e1, float(protocol.shots[1]))
    a, b = a * after, b * after + (1.0 - after)
    steady = b / (1.0 - a)
    return np.stack([np.sin(x) * (p * steady + q) for x, (p, q) in zip(angles, centres, strict=True)])


def _excited(
    a: FloatArray, b: FloatArray, angle: FloatArray, e1: FloatArray, count: float
) -> tuple[FloatArray, FloatArray]:
    """Return the step a m + b after some more excitations with recovery between them."""
    turn = np.cos(angle) * e1
    power = turn**count
    rest = (1.0 - e1) / (1.0 - turn)
    return a * power, b * power + rest * (1.0 - power)
