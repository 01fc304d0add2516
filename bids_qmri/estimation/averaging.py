"""Diffusion series for models that know the b-value alone: images of one are averaged over directions."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.preparation import Preparation, Scan, Voxels, as_measured
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import average_directions
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.shells import cluster_shells
from bids_qmri.units import FloatArray

AVERAGE = "direction average"
"""What is computed once for all fits of a series."""


def averaged_over_directions(
    estimator: Estimator, scan: Scan, kept: npt.NDArray[np.bool_] | None = None, **more: Any
) -> Preparation:
    """Return the preparation of a diffusion series for models of the b-value.

    Parameters
    ----------
    estimator
        Estimators of single images get them as they are; their noise is that of the averages.
    scan
        The series.
    kept
        Which measurements are fitted, (N,); None: all.
    more
        Anything else that the preparation takes.
    """
    whole = cast("DiffusionProtocol", scan.require_protocol())
    every = kept is None or bool(np.all(kept))
    protocol = whole if every else whole.chosen(np.flatnonzero(np.asarray(kept)))
    name = AVERAGE if every else f"{AVERAGE} of {protocol.n_measurements} images"
    groups = cluster_shells(protocol.bvals)[1]

    def chosen(signal: FloatArray) -> FloatArray:
        return signal if every else signal[:, kept]

    def average(signal: FloatArray, _: Voxels) -> tuple[FloatArray, Protocol]:
        return average_directions(np.asarray(chosen(signal), dtype=np.float64), protocol, groups)

    if estimator.single_images:
        # The noise is that of the averages: between directions, anisotropy would count as noise.
        used = {"DirectionAverage": "none"}
        if every:
            return as_measured(scan, convert_for_noise=average, noise_conversion=name, used=used, **more)
        return Preparation(
            lambda signal, _: (chosen(signal), protocol),
            conversion=name.replace("average", "choice"),
            convert_for_noise=average,
            noise_conversion=name,
            used=used,
            **more,
        )
    used = {"DirectionAverage": "geometric mean per b-value"}
    return Preparation(average, conversion=name, used=used, **more)
