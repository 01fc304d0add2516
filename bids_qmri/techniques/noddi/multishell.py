"""Which images of a diffusion series are on shells that tell neurites from what surrounds them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import count_directions
from bids_qmri.physics.shells import JITTER, cluster_shells

LOWEST_B = 300.0
"""s/mm^2; shells below it tell blood from tissue, not neurites from what surrounds them."""

FEWEST_DIRECTIONS = 6
"""Directions of a shell: the least that determine how its signal depends on direction."""


def full_shells(protocol: DiffusionProtocol) -> list[npt.NDArray[np.intp]]:
    """Return the images of every shell of enough directions, in the order of b.

    Parameters
    ----------
    protocol
        Diffusion weightings.

    Returns
    -------
    list
        Indices of images; empty without directions or where b-values form no shells.
    """
    if protocol.bvecs is None:
        return []
    # What scanners store for b = 0 may scatter like a grid.
    weighted = np.flatnonzero(~protocol.b0_mask)
    centres, groups = cluster_shells(protocol.bvals[weighted])
    high = np.flatnonzero(centres >= LOWEST_B - JITTER)
    shells = [weighted[groups == index] for index in high]
    return [images for images in shells if count_directions(protocol.bvecs[images]) >= FEWEST_DIRECTIONS]


def on_full_shells(protocol: DiffusionProtocol) -> tuple[npt.NDArray[np.intp], DiffusionProtocol]:
    """Return the images at b = 0 and on full shells, in their order, and the protocol of these."""
    kept = np.sort(np.concatenate([np.flatnonzero(protocol.b0_mask), *full_shells(protocol)]))
    bvecs = None if protocol.bvecs is None else protocol.bvecs[kept]
    return kept, DiffusionProtocol(protocol.bvals[kept], bvecs, b0_threshold=protocol.b0_threshold)
