"""What NODDI maps need beyond a fit: directions along the axes of the image, and maps weighted by tissue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.blocks import ImageMaps
from bids_qmri.estimators.base import Status
from bids_qmri.physics.directions import along_image_axes
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
