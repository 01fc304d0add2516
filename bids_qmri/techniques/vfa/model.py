"""T1 from spoiled gradient echoes at several flip angles (variable flip angle, VFA). T1 and TR in s.

The steady-state signal after perfect spoiling, without T2* decay; as in Deoni et al., doi:10.1002/mrm.10407.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bids_qmri.physics.dictionary import grid, nearest_atom
from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

GRID_POINTS = 24
"""T1 values of the first estimate; neighbours differ by a third, which is inside one Newton basin."""


LARGEST_ANGLE = 90
"""Degrees; spoiled gradient echoes with more are degrees that were taken for radians."""

LONGEST_TR = 1.0
"""s; spoiled gradient echoes are repeated within milliseconds."""


class Vfa(Model):
    """Spoiled gradient echo: S = M0 sin(a) (1 - E1) / (1 - E1 cos(a)) with E1 = exp(-TR / T1)."""

    name: ClassVar[str] = "vfa"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "t1",
            "T1",
            "s",
            (0.01, 10.0),
            (0.1, 3.0),
            "Longitudinal relaxation time.",
            # Tissue full of contrast agent has some 50 ms; cerebrospinal fluid at most 4.5 s.
            prior=(0.05, 5.0),
            logarithmic=True,
            nodes=64,
        ),
        Parameter(
            "m0", "M0", "1", (0.0, np.inf), (0.5, 2.0), "Signal of fully relaxed magnetisation at 90 degrees."
        ),
    )
    amplitude: ClassVar[str | None] = "m0"
    protocol = VfaProtocol
    main = ("t1",)

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, VfaProtocol):
            return "no flip angles"
        largest = float(np.rad2deg(protocol.flip_angle.max()))
        if largest > LARGEST_ANGLE and not protocol.by_voxel:
            return (
                f"the largest flip angle is {largest:.0f} degrees; up to {LARGEST_ANGLE} can be meant, in rad"
            )
        longest = float(protocol.repetition_time.max())
        if longest > LONGEST_TR:
            return f"a repetition time is {longest:g} s; up to {LONGEST_TR:g} can be meant: divide ms by 1000"
        return ""

    def signal(self, theta: FloatArray, protocol: VfaProtocol) -> FloatArray:
        t1, m0 = theta
        sine, cosine, tr = _constants(protocol)
        e1 = np.exp(-tr / t1)
        return np.asarray(m0 * sine * (1.0 - e1) / (1.0 - e1 * cosine))

    def signal_and_jacobian(self, theta: FloatArray, protocol: VfaProtocol) -> tuple[FloatArray, FloatArray]:
        t1, m0 = theta
        sine, cosine, tr = _constants(protocol)
        rate = tr / t1
        e1 = np.exp(-rate)
        jacobian = np.empty((2, protocol.n_measurements, t1.size))
        by_t1, by_m0 = jacobian
        inverse = 1.0 / (1.0 - e1 * cosine)
        np.multiply(sine * inverse, 1.0 - e1, out=by_m0)
        np.multiply((sine * (cosine - 1.0)) * (inverse * inverse), m0 * e1 * rate / t1, out=by_t1)
        return m0 * by_m0, jacobian

    def start(
        self, signal: FloatArray, protocol: VfaProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        t1 = grid(lower[0], upper[0], GRID_POINTS, logarithmic=True)
        if protocol.flip_angle.ndim == 1:
            return nearest_atom(self, signal, protocol, {"t1": t1})
        return self._nearest_per_voxel(signal, protocol, t1)

    def _nearest_per_voxel(self, signal: FloatArray, protocol: VfaProtocol, t1: FloatArray) -> FloatArray:
        """Search the T1 grid where every voxel has its own flip angles, hence its own dictionary."""
        theta = np.ones((2, signal.shape[1]))
        best = np.zeros((3, signal.shape[1]))
        for value in t1:
            theta[0] = value
            atom = self.signal(theta, protocol)
            energy = np.einsum("nv,nv->v", atom, atom)
            product = np.einsum("nv,nv->v", atom, signal)
            m0 = np.maximum(product / energy, 0.0)
            candidate = np.stack([m0 * product, theta[0], m0])
            best = np.where(candidate[0] >= best[0], candidate, best)
        return best[1:]


VFA = Vfa()


def _constants(protocol: VfaProtocol) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return sine and cosine of the flip angles and TR, each broadcasting to (N, V)."""
    tr = protocol.repetition_time[:, None]
    sine, cosine = (x[:, None] if x.ndim == 1 else x for x in (protocol.sine, protocol.cosine))
    # One TR for all images: E1 is then one number per voxel instead of N, and exp is what costs.
    return sine, cosine, tr[:1] if np.all(tr == tr[0]) else tr
