"""Apparent diffusion coefficient: the signal falls with one exponential. b in s/mm^2, ADC in mm^2/s.

Stejskal and Tanner 1965, doi:10.1063/1.1695690; of an average over directions it is a third of the trace of
the diffusion tensor.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import count_directions
from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.shells import GRID, cluster_shells
from bids_qmri.units import FloatArray

LARGEST_B = 1500.0
"""s/mm^2; signals above it fall slower than one exponential: left out where two b-values remain."""

TENSOR_DIRECTIONS = 6
"""Directions from which on a tensor tells more."""

FEWEST = 2
"""b-values."""


class Apparent(Model):
    """S = S0 exp(-b ADC)."""

    name: ClassVar[str] = "adc"
    protocol: ClassVar[type[Protocol]] = DiffusionProtocol
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "adc",
            "ADC",
            "mm^2/s",
            (0.0, 0.01),
            (0.3e-3, 3e-3),
            "Apparent diffusion coefficient.",
            prior=(0.0, 4e-3),
            typical=1e-3,
        ),
        Parameter("s0", "S0", "1", (0.0, np.inf), (0.5, 2.0), "Signal without diffusion weighting."),
    )
    amplitude: ClassVar[str | None] = "s0"
    main: ClassVar[tuple[str, ...]] = ("adc",)

    def obstacle(self, protocol: Protocol) -> str:
        if not isinstance(protocol, DiffusionProtocol):
            return "no b-values"
        centres = cluster_shells(protocol.bvals)[0]
        if not centres.size:
            return GRID
        if centres.size < FEWEST:
            return f"one b-value, {centres[0]:g} s/mm^2; an apparent diffusion coefficient needs {FEWEST}"
        return ""

    def not_meant(self, protocol: Protocol) -> str:
        if not isinstance(protocol, DiffusionProtocol) or protocol.bvecs is None:
            return ""
        count = count_directions(protocol.bvecs[~protocol.b0_mask])
        if count < TENSOR_DIRECTIONS:
            return ""
        return f"{count} directions tell more than one coefficient; ask for it with --models {self.name}"

    def kept(self, protocol: DiffusionProtocol) -> npt.NDArray[np.bool_]:
        """Return what is fitted, (N,): b-values up to `LARGEST_B`, or all if only one is left."""
        low = protocol.bvals <= LARGEST_B
        enough = np.any(low) and cluster_shells(protocol.bvals[low])[0].size >= FEWEST
        return np.asarray(low if enough else np.ones_like(low))

    def signal(self, theta: FloatArray, protocol: DiffusionProtocol) -> FloatArray:
        adc, s0 = theta
        return np.asarray(s0 * np.exp(-protocol.bvals[:, None] * adc))

    def signal_and_jacobian(
        self, theta: FloatArray, protocol: DiffusionProtocol
    ) -> tuple[FloatArray, FloatArray]:
        b = protocol.bvals[:, None]
        by_s0 = np.exp(-b * theta[0])
        signal = theta[1] * by_s0
        return signal, np.stack([-b * signal, by_s0])

    def start(
        self, signal: FloatArray, protocol: DiffusionProtocol, lower: FloatArray, upper: FloatArray
    ) -> FloatArray:
        """Fit a line to the logarithm, weighted by the squared signal."""
        positive = np.maximum(signal, 1e-6 * np.abs(signal).max(axis=0, initial=1e-300))
        weight = protocol.weights[:, None] * positive**2
        b, logs, total = protocol.bvals[:, None], np.log(positive), weight.sum(axis=0)
        middle, mean = (weight * b).sum(axis=0) / total, (weight * logs).sum(axis=0) / total
        spread = (weight * (b - middle) ** 2).sum(axis=0)
        slope = (weight * (b - middle) * (logs - mean)).sum(axis=0) / np.where(spread > 0, spread, np.inf)
        adc = np.clip(-slope, lower[0], upper[0])
        return np.stack([adc, np.clip(np.exp(mean + adc * middle), lower[1], upper[1])])


ADC = Apparent()
