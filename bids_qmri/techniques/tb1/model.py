"""The relative transmit field: actual over nominal flip angle, by the ratios of images that show it.

Formulas and their publications stand with the protocols (`physics.transmit`).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.transmit import TransmitProtocol
from bids_qmri.units import FloatArray

STEP = 1e-5
"""Change of the field by which derivatives are told."""


class TransmitField(Model):
    """Signals of one amplitude at the angles that the field makes of the nominal ones."""

    name: ClassVar[str] = "tb1"
    protocol: ClassVar[type[Protocol]] = TransmitProtocol  # type: ignore[type-abstract]
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "b1",
            "B1+",
            "1",
            (0.05, 4.0),
            (0.6, 1.4),
            "Actual over nominal flip angle: 1 where the field is nominal.",
            prior=(0.3, 2.0),
        ),
        Parameter("s0", "S0", "1", (0.0, np.inf), (500.0, 1500.0), "Amplitude of the signals."),
    )
    amplitude: ClassVar[str | None] = "s0"
    main: ClassVar[tuple[str, ...]] = ("b1",)

    def obstacle(self, protocol: Protocol) -> str:
        return "" if isinstance(protocol, TransmitProtocol) else "no images that tell a transmit field"

    def signal(self, theta: FloatArray, protocol: TransmitProtocol) -> FloatArray:
        field, amplitude = theta
        return np.asarray(amplitude * protocol.contrast(field))

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: TransmitProtocol
    ) -> tuple[FloatArray, FloatArray]:
        field, amplitude = theta
        step = STEP * np.ones_like(field)
        slope = (protocol.contrast(field + step) - protocol.contrast(field - step)) / (2 * STEP)
        contrast = protocol.contrast(field)
        return amplitude * contrast, np.stack([amplitude * slope, contrast])

    def start(
        self, signal: FloatArray, protocol: TransmitProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        field = np.clip(np.nan_to_num(protocol.field(signal), nan=1.0), lower[0], upper[0])
        return np.stack([field, amplitude_of(signal, field, protocol)])


FIELD = TransmitField()


def amplitude_of(signal: FloatArray, field: FloatArray, protocol: TransmitProtocol) -> FloatArray:
    """Return the amplitude, (V,), with which a field explains signals (N, V) best."""
    contrast = protocol.contrast(field)
    power = np.sum(contrast**2, axis=0)
    return np.asarray(np.sum(contrast * signal, axis=0) / np.where(power > 0, power, np.inf))
