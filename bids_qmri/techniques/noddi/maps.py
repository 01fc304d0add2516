"""What NODDI maps need beyond a fit: directions along the axes of the image, and maps weighted by tissue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.blocks import ImageMaps
from bids_qmri.estimators.base import Status
from bids_qmri.techniques.noddi.model import COMPONENTS


def complete(found: ImageMaps, affine: npt.NDArray[np.float64], sigma: float | None) -> ImageMaps:
    """Join components to directions, and add what follows from other maps.

    Parameters
    ----------
    found
        Maps of an estimator over the whole grid: ``ndi``, ``odi``, ``fwf`` and, if known, `COMPONENTS`.
    affine
        Voxel indices to scanner coordinates, shape (4, 4).
    sigma
        Noise level that was used, None if each voxel has its own or none.

    Returns
    -------
    Maps with tissue fraction and the maps weighted by it (Parker et al. 2021,
    doi:10.1016/j.neuroimage.2021.118749), noise level and direction.
    """
    maps = {name: values for name, values in found.maps.items() if name not in COMPONENTS}
    inside = found.status != Status.OUTSIDE
    tissue = np.where(inside, 1 - maps["fwf"], 0).astype(np.float32)
    maps |= {"tf": tissue, "ndi_tf": maps["ndi"] * tissue, "odi_tf": maps["odi"] * tissue}
    if sigma is not None and "sigma" not in maps:
        maps["sigma"] = np.where(inside, sigma, 0).astype(np.float32)
    if COMPONENTS[0] not in found.maps:
        return replace(found, maps=maps)
    vectors = np.stack([found.maps[name] for name in COMPONENTS], axis=1)
    return replace(found, maps=maps, directions={"direction": along_image_axes(vectors, affine)})


def along_image_axes(
    directions: npt.NDArray[np.float32], affine: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Turn directions from the frame of BIDS and FSL gradient tables to the axes of the image.

    Parameters
    ----------
    directions
        Shape (V, 3). In the frame of gradient tables the first axis is mirrored where the determinant of the
        affine is positive.
    affine
        Voxel indices to scanner coordinates, shape (4, 4).

    Returns
    -------
    Directions, shape (V, 3), with a positive third component: they have no sign of their own.
    """
    mirror = np.array([-1 if np.linalg.det(affine[:3, :3]) > 0 else 1, 1, 1], dtype=np.float32)
    turned = directions * mirror
    return np.where(turned[:, 2:] < 0, -turned, turned)
