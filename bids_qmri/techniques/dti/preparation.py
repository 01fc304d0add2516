"""What of a diffusion series tensors are fitted to; their noise is that of each voxel's own residuals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bids_qmri.estimation.preparation import Preparation, Scan, as_measured
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import B_JITTER, directed
from bids_qmri.physics.model import Model
from bids_qmri.techniques.dti.model import Cumulants


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Return the preparation of a diffusion series for tensors, saying which images are left out."""
    protocol = scan.require_protocol()
    assert isinstance(protocol, DiffusionProtocol)
    assert isinstance(model, Cumulants)
    return as_measured(scan, noise_is_common=False, notes=tuple(_notes(model, protocol)))


def _notes(model: Cumulants, protocol: DiffusionProtocol) -> Iterator[str]:
    kept, known = model.kept(protocol), directed(protocol)
    count, highest = protocol.n_measurements, float(protocol.bvals[kept].max(initial=0.0))
    if highest > model.b_max + B_JITTER:
        yield (
            f"b-values go from the lowest to {highest:g} s/mm^2 with no shell of {model.fewest_directions} "
            f"directions at {model.b_max:g} or below: {model.name} is fitted above the range of Gaussian "
            "diffusion, where MD is too low and FA is biased; acquire a shell near b = 1000 if they matter"
        )
    if undirected := np.flatnonzero(~known).tolist():
        yield (
            f"volumes {undirected} (counted from 0, b above {protocol.b0_threshold:g} s/mm^2) have no "
            f"direction in the bvec file and are left out of {model.name}"
        )
    if too_high := int(np.sum(~kept & known)):
        limit = max(highest, model.b_max)
        yield f"{too_high} of {count} images left out of {model.name}, b above {limit:g} s/mm^2"
