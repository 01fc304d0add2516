"""What images of an MP2RAGE scan hold, and how their numbers are scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Images:
    """Which images there are.

    Parameters
    ----------
    uniform_scale, uniform_shift
        Values of a combined image over the first plus the second are -0.5 to 0.5; a scale of 0: both images
        with their phases are there instead.
    phase_scale
        rad in one unit of the phase images.
    """

    uniform_scale: float = 0.0
    uniform_shift: float = 0.0
    phase_scale: float = 1.0

    def fields(self) -> dict[str, Any]:
        """Return what sidecars say of it."""
        if self.uniform_scale:
            return {"Combination": "as the scanner made it", "CombinationScale": self.uniform_scale}
        return {"Combination": "from magnitudes and phases of both images", "PhaseScale": self.phase_scale}
