"""NODDI of fixed tissue: slower water, and a fraction of it that does not move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bids_qmri.physics.model import Parameter
from bids_qmri.techniques.noddi.encoding import AlignedEncoding
from bids_qmri.techniques.noddi.model import FWF, NDI, ODI, TILTS, Noddi
from bids_qmri.units import FloatArray

MOST_NEURITES = 0.6
"""Largest NDI of a first estimate ex vivo: from its limit a third of fits do not find stationary tissue."""

DOT = Parameter("dot", "DOT", "1", (0.0, 1.0), (0.0, 0.3), "Stationary fraction of the signal at b = 0.")


@dataclass(frozen=True)
class ExVivoNoddi(Noddi):
    """NODDI of fixed tissue: slower water, and a fraction of it stationary (Alexander et al. 2010).

    The stationary fraction (dot) adds a constant: S / S0 = DOT + (1 - DOT) times the signal of `Noddi`.
    """

    name: ClassVar[str] = "noddiexvivo"
    parameters: ClassVar[tuple[Parameter, ...]] = (NDI, ODI, FWF, DOT, *TILTS)
    main: ClassVar[tuple[str, ...]] = ("ndi", "odi", "fwf", "dot")
    compiled: ClassVar[bool] = False
    on_request: ClassVar[str] = "for fixed tissue; ask for it with --models noddiexvivo"

    d_par: float = 0.6e-3
    d_iso: float = 2.0e-3

    def signal(self, theta: FloatArray, protocol: AlignedEncoding) -> FloatArray:
        dot, moving = theta[3], np.delete(theta, 3, axis=0)
        return np.asarray(dot + (1.0 - dot) * super().signal(moving, protocol))

    def _with_rest(self, theta: FloatArray, signal: FloatArray) -> FloatArray:
        return np.asarray(theta[3] + (1.0 - theta[3]) * signal)

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: AlignedEncoding
    ) -> tuple[FloatArray, FloatArray]:
        dot, moving = theta[3], np.delete(theta, 3, axis=0)
        signal, jacobian = super().signal_and_jacobian(moving, protocol)
        return dot + (1.0 - dot) * signal, np.insert((1.0 - dot) * jacobian, 3, 1.0 - signal, axis=0)

    def start(
        self, signal: FloatArray, protocol: AlignedEncoding, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        moving = np.arange(lower.size) != 3
        theta = super().start(signal, protocol, lower[moving], upper[moving])
        theta[0] = np.clip(np.minimum(theta[0], MOST_NEURITES), lower[0], upper[0])
        return np.insert(theta, 3, lower[3], axis=0)


EX_VIVO_NODDI = ExVivoNoddi()
