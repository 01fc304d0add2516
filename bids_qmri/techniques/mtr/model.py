"""Magnetisation transfer ratio: what an MT pulse takes off the signal, in percent of the signal without it.

As in Dousset et al. 1992, doi:10.1148/radiology.182.2.1732968.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.mtr.protocol import TransferProtocol
from bids_qmri.units import FloatArray


class TransferRatio(Model):
    """S = S0 without the pulse, S0 (1 - MTR / 100) with it."""

    name: ClassVar[str] = "mtr"
    protocol: ClassVar[type[Protocol]] = TransferProtocol
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "mtr",
            "MTR",
            "percent",
            (-100.0, 100.0),
            (5.0, 60.0),
            "Share of the signal that an MT pulse takes, in percent.",
            prior=(0.0, 80.0),
            typical=40.0,
        ),
        Parameter("s0", "S0", "1", (0.0, np.inf), (0.5, 2.0), "Signal without an MT pulse."),
    )
    amplitude: ClassVar[str | None] = "s0"
    main: ClassVar[tuple[str, ...]] = ("mtr",)

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, TransferProtocol):
            return "no images with and without an MT pulse"
        if len(np.unique(protocol.mt)) < 2:
            return f"no image with{'out' if protocol.mt.all() else ''} an MT pulse"
        return ""

    def signal(self, theta: FloatArray, protocol: TransferProtocol) -> FloatArray:
        ratio, s0 = theta
        return np.asarray(s0 * (1.0 - 0.01 * ratio * protocol.mt[:, None]))

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: TransferProtocol
    ) -> tuple[FloatArray, FloatArray]:
        ratio, s0 = theta
        by_s0 = 1.0 - 0.01 * ratio * protocol.mt[:, None]
        by_ratio = -0.01 * s0 * np.broadcast_to(protocol.mt[:, None], by_s0.shape)
        return s0 * by_s0, np.stack([by_ratio, by_s0])

    def start(
        self, signal: FloatArray, protocol: TransferProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        off, on = (signal[protocol.mt == state].mean(axis=0) for state in (0, 1))
        s0 = np.maximum(off, 1e-3 * np.abs(signal).max(axis=0))
        ratio = np.clip(100.0 * (1.0 - on / np.where(s0 > 0, s0, 1.0)), lower[0], upper[0])
        return np.stack([ratio, s0])


MTR = TransferRatio()
