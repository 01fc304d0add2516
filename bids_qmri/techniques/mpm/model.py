"""Spoiled gradient echoes with T2* decay and an MT pulse per repetition. Times in s, MTsat in percent.

S = PD sin(a) (1 - E1) / (1 - (1 - d) cos(a) E1) exp(-TE R2*) with E1 = exp(-TR / T1): the pulse saturates
the share d of the magnetisation between excitations, as in Helms et al. 2008, doi:10.1002/mrm.21732, whose
rational approximation is that of small angles and short TR. The share grows with the transmit field; what is
reported is that of the nominal field.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bids_qmri.physics.echoes import missing_echoes
from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.mpm.protocol import MultiParameterProtocol
from bids_qmri.techniques.mpm.rational import field_share, rational
from bids_qmri.units import FloatArray, degrees

T1 = Parameter(
    "t1",
    "T1",
    "s",
    (0.01, 10.0),
    (0.5, 3.0),
    "Longitudinal relaxation time.",
    prior=(0.05, 5.0),
    logarithmic=True,
)
R2STAR = Parameter(
    "r2star",
    "R2*",
    "1/s",
    (0.0, 1000.0),
    (5.0, 60.0),
    "Effective transverse relaxation rate.",
    prior=(0.5, 300.0),
    typical=20.0,
)
MTSAT = Parameter(
    "mtsat",
    "MTsat",
    "percent",
    (-5.0, 20.0),
    (0.0, 5.0),
    "Share of the magnetisation that an MT pulse saturates, in percent, at the nominal transmit field.",
    prior=(0.0, 10.0),
    typical=2.0,
)
PD = Parameter(
    "pd", "PD", "1", (0.0, np.inf), (0.5, 2.0), "Proton density times receive sensitivity, uncalibrated."
)
R1 = Parameter(
    "r1", "R1", "1/s", (0.1, 100.0), (0.33, 2.0), "Longitudinal relaxation rate.", logarithmic=True
)


def _seen(protocol: MultiParameterProtocol) -> str:
    """Say which weightings there are: ``MT off at 6 degrees (4 images)``."""
    seen = []
    for state, word in ((0, "off"), (1, "on")):
        angles = np.round(degrees(protocol.flip_angle[protocol.mt == state]), 3)
        seen += [
            f"MT {word} at FlipAngle {angle:g} ({int(np.sum(angles == angle))} image(s))"
            for angle in np.unique(angles)
        ]
        if not angles.size:
            seen.append(f"none with MT {word}")
    return ", ".join(seen)


class MtSaturation(Model):
    """T1, MTsat and amplitude of one echo."""

    name: ClassVar[str] = "mts"
    protocol: ClassVar[type[Protocol]] = MultiParameterProtocol
    parameters: ClassVar[tuple[Parameter, ...]] = (T1, MTSAT, PD)
    amplitude: ClassVar[str | None] = "pd"
    derived: ClassVar[tuple[Parameter, ...]] = (R1,)
    main: ClassVar[tuple[str, ...]] = ("mtsat", "t1")
    echoes: ClassVar[bool] = False

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, MultiParameterProtocol):
            return "no images with and without an MT pulse"
        off = protocol.mt == 0
        if len(np.unique(protocol.flip_angle[off])) < 2:
            return f"T1 needs two flip angles without an MT pulse; seen: {_seen(protocol)}"
        several = len(np.unique(protocol.echo_time)) > 1
        if self.echoes != several:
            return "one echo time: R2* is not told" if self.echoes else "several echo times: mpm is for these"
        return ""

    def mend(self, protocol: Protocol) -> str:
        if not isinstance(protocol, MultiParameterProtocol):
            return ""
        if len(np.unique(protocol.flip_angle[protocol.mt == 0])) < 2:
            return (
                "add the images of the other flip angle without an MT pulse, or correct FlipAngle or MTState"
            )
        if self.echoes and len(np.unique(protocol.echo_time)) == 1:
            return missing_echoes(protocol)
        return ""

    def signal(self, theta: FloatArray, protocol: MultiParameterProtocol) -> FloatArray:
        return np.asarray(self.signal_and_jacobian(theta, protocol)[0])

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: MultiParameterProtocol
    ) -> tuple[FloatArray, FloatArray]:
        t1, r2star, mtsat, pd = self._all(theta)
        flip = protocol.flip_angle[:, None] * protocol.b1
        rate = protocol.repetition_time[:, None] / t1
        e1 = np.exp(-rate)
        per_percent = 0.01 * field_share(protocol.b1) * protocol.mt[:, None]
        left = (1.0 - mtsat * per_percent) * np.cos(flip)
        inverse = 1.0 / (1.0 - left * e1)
        decay = np.exp(-protocol.echo_time[:, None] * r2star)
        by_pd = np.sin(flip) * (1.0 - e1) * inverse * decay
        signal: FloatArray = np.asarray(pd * by_pd)
        by_e1 = pd * np.sin(flip) * decay * (left - 1.0) * inverse**2
        by_t1 = by_e1 * e1 * rate / t1
        by_mtsat = -signal * e1 * inverse * np.cos(flip) * per_percent
        by_r2star = -protocol.echo_time[:, None] * signal
        kept = (by_t1, by_r2star, by_mtsat, by_pd) if self.echoes else (by_t1, by_mtsat, by_pd)
        return signal, np.stack(kept)

    def start(
        self, signal: FloatArray, protocol: MultiParameterProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        found = rational(np.maximum(signal, 0.0), protocol)
        order = (0, 1, 2, 3) if self.echoes else (0, 2, 3)
        middle = np.where(np.isfinite(upper), np.sqrt(np.maximum(lower, 0.1) * np.abs(upper)), 1.0)
        middle[[p.name for p in self.parameters].index("pd")] = 1.0
        theta = np.stack([found[i] for i in order])
        theta = np.where(np.isfinite(theta), theta, middle[:, None])
        largest = signal.max(axis=0) * 100.0
        theta[-1] = np.clip(theta[-1], signal.max(axis=0), np.maximum(largest, 1e-30))
        return np.asarray(np.clip(theta, lower[:, None], upper[:, None]))

    def derive(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        rate = 1.0 / theta[0]
        slope = np.zeros((1, *theta.shape))
        slope[0, 0] = -(rate**2)
        return np.asarray(rate[None]), slope

    def _all(self, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return T1, R2*, MTsat and PD, each (V,)."""
        if self.echoes:
            return theta[0], theta[1], theta[2], theta[3]
        return theta[0], np.zeros_like(theta[0]), theta[1], theta[2]


class MultiParameter(MtSaturation):
    """The same with several echoes, and R2*."""

    name: ClassVar[str] = "mpm"
    parameters: ClassVar[tuple[Parameter, ...]] = (T1, R2STAR, MTSAT, PD)
    main: ClassVar[tuple[str, ...]] = ("mtsat", "t1", "r2star")
    echoes: ClassVar[bool] = True


MTS = MtSaturation()
MPM = MultiParameter()
