"""Images with and without an MT pulse, otherwise alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import Axis, Protocol, frozen
from bids_qmri.units import FloatArray


@dataclass(frozen=True, eq=False)
class TransferProtocol(Protocol):
    """Which images had an MT pulse.

    Parameters
    ----------
    mt
        1 where an MT pulse was played out, 0 where not, shape (N,).
    """

    mt: FloatArray

    def __post_init__(self) -> None:
        mt = frozen(self.mt, "MTState")
        if not np.all((mt == 0) | (mt == 1)):
            raise InputError(f"is {mt.tolist()}", field="MTState", needed="true or false for every image")
        object.__setattr__(self, "mt", mt)

    @property
    def n_measurements(self) -> int:
        return int(self.mt.size)

    def repeat_keys(self) -> FloatArray:
        return self.mt[None]

    def averaged(self, average: FloatArray) -> TransferProtocol:
        return TransferProtocol(np.round(average @ self.mt))

    def axis(self, fitted: FloatArray) -> Axis:
        return Axis("MT pulse (0 off, 1 on)", self.mt)

    def sidecar_fields(self) -> dict[str, Any]:
        # BIDS knows one truth value for its key.
        return {"MTStates": [bool(on) for on in self.mt]}
