"""Intravoxel incoherent motion (IVIM): diffusion and perfusion as two exponentials. b in s/mm^2, D in mm^2/s.

The bi-exponential signal of Le Bihan et al., doi:10.1148/radiology.168.2.3393671.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from bids_qmri.models.base import Model, Parameter
from bids_qmri.models.dictionary import grid, nearest_atom
from bids_qmri.protocol import DiffusionProtocol
from bids_qmri.units import FloatArray


class Ivim(Model):
    """S = S0 [(1 - f) exp(-b D) + f exp(-b D*)].

    The physical bounds of D and D* do not overlap, so that the two exponentials cannot change places.
    """

    name: ClassVar[str] = "ivim"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("d", "D", "mm^2/s", (0.0, 0.005), (0.35e-3, 3e-3), "Diffusion coefficient of tissue."),
        Parameter("dstar", "D*", "mm^2/s", (0.005, 0.2), (0.05, 0.1), "Pseudo-diffusion coefficient."),
        Parameter("f", "f", "1", (0.0, 1.0), (0.03, 0.25), "Perfusion fraction."),
        Parameter("s0", "S0", "1", (0.0, np.inf), (0.5, 2.0), "Signal without diffusion weighting."),
    )
    amplitude: ClassVar[str | None] = "s0"
    reference: ClassVar[str] = "10.1148/radiology.168.2.3393671"

    def signal(self, theta: FloatArray, protocol: DiffusionProtocol) -> FloatArray:
        d, dstar, f, s0 = theta
        b = protocol.bvals[:, None]
        return np.asarray(s0 * ((1.0 - f) * np.exp(-b * d) + f * np.exp(-b * dstar)))

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: DiffusionProtocol
    ) -> tuple[FloatArray, FloatArray]:
        d, dstar, f, s0 = theta
        b = protocol.bvals[:, None]
        jacobian = np.empty((4, protocol.n_measurements, d.size))
        by_d, by_dstar, by_f, by_s0 = jacobian
        slow, fast = np.exp(-b * d), np.exp(-b * dstar)
        np.multiply(s0, fast - slow, out=by_f)
        slow *= 1.0 - f
        fast *= f
        np.add(slow, fast, out=by_s0)
        np.multiply(-b * s0, slow, out=by_d)
        np.multiply(-b * s0, fast, out=by_dstar)
        return s0 * by_s0, jacobian

    def start(
        self, signal: FloatArray, protocol: DiffusionProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        grids = {
            "d": grid(lower[0], upper[0], 10),
            "dstar": grid(lower[1], upper[1], 6, logarithmic=True),
            "f": grid(lower[2], upper[2], 8),
        }
        return nearest_atom(self, signal, protocol, grids)


IVIM = Ivim()
