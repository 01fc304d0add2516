"""Trains of gradient echoes that networks are trained with. Times in s."""

from __future__ import annotations

from dataclasses import dataclass

from bids_qmri.physics.echoes import EchoRanges


@dataclass(frozen=True)
class Ranges(EchoRanges):
    """Number of echoes, first echo time and spacing in s."""
