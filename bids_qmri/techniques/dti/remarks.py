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
    return tuple(said)
