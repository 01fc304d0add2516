"""What a call of an estimator must agree in, before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.protocol import Protocol


def require_fittable(
    model: Model, protocol: Protocol, signal: Any, noise: Noise | None, bounds: Bounds | None
) -> None:
    """Refuse what would otherwise fail somewhere inside, or give maps of something else.

    Parameters
    ----------
    model, protocol, signal, noise, bounds
        As of `Estimator.fit`.

    Raises
    ------
    InputError
        The protocol is of another technique, shapes contradict each other, or a limit cannot be meant.
    """
    if not isinstance(protocol, model.protocol):
        raise InputError(
            f"protocol is a {type(protocol).__name__}",
            field="protocol",
            needed=f"a {model.protocol.__name__} for {model.name}",
        )
    shape = np.shape(signal)
    if len(shape) != 2 or shape[1] != protocol.n_measurements:
        raise InputError(
            f"signals have shape {shape}",
            field="signal",
            needed=f"(voxels, {protocol.n_measurements}), one column per measurement",
        )
    levels = () if noise is None else (noise.floor, noise.scatter)
    for wrong in [np.shape(level) for level in levels if np.shape(level) not in ((), (1,), shape[:1])]:
        raise InputError(
            f"noise levels have shape {wrong}",
            field="sigma",
            needed=f"one number, or one per voxel, ({shape[0]},)",
        )
    try:
        model.limits(bounds)
    except (ValueError, TypeError) as error:
        raise InputError(str(error), field="bounds", needed="low <= high by name of a parameter") from error
