"""What to say of a tensor: fitted above the range of Gaussian diffusion, or without some of the images.

Found through the catalogue by `interfaces.fit`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.preparation import Preparation
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import B_JITTER, directed
from bids_qmri.physics.model import Model
from bids_qmri.techniques.dti.model import Cumulants
from bids_qmri.units import FloatArray

ODD, SURELY = 0.1, 3.0
"""Share of the signal, and times the scatter between voxels, by which an image differs from the tensor."""
FEWEST = 12
"""Images and voxels, at least, by which that can be told."""
NORMAL_MAD = 0.6745
"""Median absolute deviation over standard deviation of a normal density."""


def remarks_on(
    model: Model, how: Preparation, measured: tuple[FloatArray, npt.NDArray[np.intp]]
) -> tuple[str, ...]:
    """Return what to say; nothing where all images have a direction and a tensor is what they are for.

    Parameters
    ----------
    model, how
        What is fitted, and what goes into it.
    measured
        Signals (V, N) of voxels spread over the scan, and the voxels.
    """
    protocol = how.convert(*measured)[1]
    assert isinstance(protocol, DiffusionProtocol)
    assert isinstance(model, Cumulants)
    said = []
    highest = float(protocol.bvals[model.kept(protocol)].max(initial=0.0))
    if highest > model.b_max + B_JITTER:
        said.append(
            f"b = {highest:.0f} s/mm^2 is above the range of Gaussian diffusion ({model.b_max:g}), and "
            "no shell "
            f"of {model.fewest_directions} directions lies below: MD is too low and FA biased; fix: "
            "acquire a "
            "shell near b = 1000"
        )
    if without := int(np.sum(~directed(protocol))):
        said.append(
            f"{without} images above b = {protocol.b0_threshold:g} s/mm^2 have no direction in the bvec file "
            f"(0 0 0) and are left out of {model.name}"
        )
    if (odd := _odd_images(protocol, how.convert(*measured)[0], model.b_max)).size:
        said.append(
            f"images {', '.join(map(str, odd))} (counted from 0) differ from the tensor by more than"
            f" {ODD:.0%} in most voxels, alike in all of them: another gain or scale, or a wrong direction;"
            " fix: look at them, and leave them out"
        )
    return tuple(said)


def _odd_images(protocol: DiffusionProtocol, signal: FloatArray, b_max: float) -> npt.NDArray[np.intp]:
    """Return the images that no tensor explains in any voxel, by a logarithmic fit up to `b_max`."""
    kept = np.flatnonzero(protocol.bvals <= b_max + B_JITTER)
    usable = np.all(signal[:, kept] > 0, axis=1)
    if protocol.bvecs is None or kept.size < FEWEST or usable.sum() < FEWEST:
        return np.empty(0, dtype=np.intp)
    logs, g = np.log(signal[usable][:, kept]), protocol.bvecs[kept]
    pairs = np.stack([g[:, i] * g[:, j] for i in range(3) for j in range(i, 3)], axis=1)
    design = np.column_stack([np.ones(kept.size), -protocol.bvals[kept, None] * pairs])
    weight = np.median(signal[usable][:, kept], axis=0)
    fitted = np.linalg.lstsq(design * weight[:, None], (logs * weight).T, rcond=None)[0]
    rest = logs - (design @ fitted).T
    common = np.median(rest, axis=0)
    scatter = np.median(np.abs(rest - common), axis=0) / NORMAL_MAD
    return np.asarray(kept[(np.abs(common) > ODD) & (np.abs(common) > SURELY * scatter)])
