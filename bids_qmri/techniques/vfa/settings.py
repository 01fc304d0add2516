"""What a VFA series needs beside its protocol; plain frozen data between reader and preparation."""

from __future__ import annotations

from dataclasses import dataclass

from bids_qmri.units import FloatArray


@dataclass(frozen=True, eq=False)
class VfaSettings:
    """What a VFA series needs beside its protocol.

    Parameters
    ----------
    scale
        Factors that bring the images to one scale, (N,).
    """

    scale: FloatArray
