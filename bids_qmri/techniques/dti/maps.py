"""Maps of several numbers a voxel that follow from a tensor: its first eigenvector, colours, itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.blocks import ImageMaps
from bids_qmri.estimators.base import Status
from bids_qmri.estimators.dipy.eigen import eigensystem
from bids_qmri.physics.directions import along_image_axes, mirrored_first
from bids_qmri.techniques.dti.model import Tensor

IN_FILES = (0, 1, 3, 2, 4, 5)
"""Elements as files have them: D11, D12, D13, D22, D23, D33."""

ODD_IN_X = (1, 3)
"""Elements xy and xz, which change their sign with the first axis."""

BLOCK = 8192
"""Voxels whose eigenvectors are computed at once, so that what is needed meanwhile stays in the cache."""


def complete(found: ImageMaps, affine: npt.NDArray[np.float64], sigma: float | None) -> ImageMaps:
    """Turn elements of the tensor into what is written of it.

    Parameters
    ----------
    found
        Maps of an estimator over the whole grid, with the elements in the frame of gradient tables.
    affine
        Voxel indices to scanner coordinates, shape (4, 4).
    sigma
        Not needed.

    Returns
    -------
    Maps with the first eigenvector and the tensor along the axes of the image, and colours: how much of the
    eigenvector runs to the side, to the front and to the head, times fractional anisotropy.
    """
    names = Tensor.carried
    maps = {name: values for name, values in found.maps.items() if name not in names}
    sd = {name: values for name, values in found.sd.items() if name not in names}
    if not all(name in found.maps for name in names):
        return replace(found, maps=maps, sd=sd)
    elements = np.stack([found.maps[name] for name in names], axis=1)
    direction = along_image_axes(_first_eigenvectors(elements, found.status != Status.OUTSIDE), affine)
    if mirrored_first(affine):
        elements[:, ODD_IN_X] *= -1.0
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    colours = np.abs(direction @ axes.T.astype(np.float32)) * maps["fa"][:, None]
    several = {"direction": direction, "colour": colours, "diffusivity": elements[:, IN_FILES]}
    return replace(found, maps=maps, sd=sd, directions=several)


def _first_eigenvectors(
    elements: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Return eigenvectors of the largest eigenvalue, (V, 3), of tensors (V, 6); 0 outside, NaN of NaN."""
    first = np.zeros((len(elements), 3), dtype=np.float32)
    voxels = np.flatnonzero(inside)
    for start in range(0, voxels.size, BLOCK):
        block = voxels[start : start + BLOCK]
        tensors = elements[block].astype(np.float64)
        finite = np.isfinite(tensors).all(axis=1)
        first[block[finite]] = eigensystem(tensors[finite])[1][:, :, 0]
        first[block[~finite]] = np.nan
    return first
