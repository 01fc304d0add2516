"""A protocol for each model of the collections of BIDS beside VFA, at which it determines its parameters."""

from __future__ import annotations

import numpy as np

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.echoes import EchoProtocol
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.transmit import StimulatedEchoes
from bids_qmri.techniques.fieldmap.protocol import ComplexEchoes
from bids_qmri.techniques.irt1.protocol import InversionProtocol
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol
from bids_qmri.techniques.mp2rage.protocol import Mp2rageProtocol
from bids_qmri.techniques.mpm.protocol import MultiParameterProtocol
from bids_qmri.techniques.mtr.protocol import TransferProtocol

INVERSIONS = InversionProtocol(np.array([0.05, 0.2, 0.4, 0.7, 1.1, 1.7, 2.6, 4.0]))
SPIN_ECHOES = SpinEchoProtocol(0.01 * np.arange(1, 17))
WEAK_PULSES = SpinEchoProtocol(0.01 * np.arange(1, 17), np.asarray(np.deg2rad(160.0)))
GRADIENT_ECHOES = EchoProtocol(0.003 * np.arange(1, 13))


def weightings(echoes: int, *further: float) -> MultiParameterProtocol:
    """Return MT-, PD- and T1-weighted images every 25 ms: 6, 6, 21 degrees, and further ones without MT."""
    angles = np.deg2rad([6.0, 6.0, 21.0, *further])
    flip, mt = np.repeat(angles, echoes), np.repeat([1.0, *np.zeros(len(angles) - 1)], echoes)
    echo = np.tile(0.0023 * np.arange(1, echoes + 1), len(angles))
    return MultiParameterProtocol(flip, np.full(flip.size, 0.025), echo, mt)


def mp2rage(**changes: object) -> Mp2rageProtocol:
    """Return the timing at 7 T of the publication: TI 0.8 and 2.7 s, 4 and 5 degrees."""
    fields = {
        "inversion_time": np.array([0.8, 2.7]),
        "flip_angle": np.deg2rad([4.0, 5.0]),
        "repetition_time": np.asarray(0.007),
        "cycle_time": np.asarray(6.0),
        "shots": np.array([80.0, 80.0]),
    }
    return Mp2rageProtocol(**fields | changes)  # type: ignore[arg-type]


PROTOCOLS: dict[str, Protocol] = {
    "irt1": INVERSIONS,
    "mese": SPIN_ECHOES,
    "epg": WEAK_PULSES,
    "megre": GRADIENT_ECHOES,
    "mpm": weightings(6),
    "mts": weightings(1, 12.0),
    "mp2rage": mp2rage(),
    "mtr": TransferProtocol(np.array([0.0, 0.0, 1.0, 1.0])),
    "tb1": StimulatedEchoes(np.deg2rad(np.arange(65.0, 116.0, 10.0)), np.asarray(0.0338)),
    "fieldmap": ComplexEchoes(0.0023 * np.arange(1, 9)),
    "adc": DiffusionProtocol(np.repeat([0.0, 400.0, 800.0], 4)),
}
"""By model."""
