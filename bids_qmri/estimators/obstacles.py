"""What a diffusion series lacks for a model, in words for a person: shells, directions, images at b = 0.

A fit of a series that cannot tell the parameters apart gives maps that look right. Called before anything is
fitted, by `workflows` and `inline`.
"""

from __future__ import annotations

import numpy as np

from bids_qmri.estimators.dipy_tensor import B_MAX_KURTOSIS, B_MAX_TENSOR, count_directions, within
from bids_qmri.estimators.multishell import FEWEST_DIRECTIONS, LOWEST_B, full_shells
from bids_qmri.estimators.tissue import SAME_LOW_B
from bids_qmri.models.shells import cluster_shells
from bids_qmri.protocol import DiffusionProtocol

IVIM_PERFUSION_B = 200.0
"""s/mm^2; blood in capillaries has lost its signal above it."""
DKI_MIN_TOP_B = 1500.0
"""s/mm^2; kurtosis does not show below it."""
NODDI_MIN_TOP_B = 1000.0
"""s/mm^2; below it, signals of neurites and of what surrounds them can hardly be told apart."""

GRID = "the b-values lie on a grid rather than on shells"


def obstacle(model: str, protocol: DiffusionProtocol) -> str:
    """Return what a diffusion series lacks for a model, empty if nothing.

    Parameters
    ----------
    model
        ``ivim``, ``tensor``, ``dki`` or ``noddi``.
    protocol
        What was played out.
    """
    obstacles = {"ivim": _ivim, "tensor": _tensor, "dki": _dki, "noddi": _noddi}
    return obstacles[model](protocol)


def _ivim(protocol: DiffusionProtocol) -> str:
    centres = cluster_shells(protocol.bvals)[0]
    if not centres.size:
        return GRID
    # Series with b0s at 0, 2 and 5 hold one b-value there, not three.
    distinct = 1 + int(np.sum(centres > protocol.bvals.min() + SAME_LOW_B))
    low = 1 + int(np.sum((centres > protocol.bvals.min() + SAME_LOW_B) & (centres < IVIM_PERFUSION_B)))
    if distinct >= 4 and low >= 2:
        return ""
    return (
        f"{distinct} distinct b-values, {low} of them below {IVIM_PERFUSION_B:g} s/mm^2; "
        "IVIM needs 4, with 2 below"
    )


def _tensor(protocol: DiffusionProtocol) -> str:
    if protocol.bvecs is None:
        return "no gradient directions (.bvec)"
    count = _directions_within(protocol, B_MAX_TENSOR)
    if count < 6:
        return f"{count} directions with b up to {B_MAX_TENSOR:g} s/mm^2; a tensor needs 6"
    return "" if np.any(protocol.b0_mask) else _without_b0(protocol)


def _dki(protocol: DiffusionProtocol) -> str:
    weighted = protocol.bvals[~protocol.b0_mask & within(protocol, B_MAX_KURTOSIS)]
    centres, groups = cluster_shells(weighted)
    if weighted.size and not centres.size:
        return GRID
    full = centres[np.bincount(groups, minlength=centres.size) >= 6]
    if full.size < 2 or full[-1] < DKI_MIN_TOP_B:
        return (
            f"shells of 6 or more directions at b = {np.round(full).astype(int).tolist()} s/mm^2, "
            f"up to {B_MAX_KURTOSIS:g}; kurtosis needs 2, one at {DKI_MIN_TOP_B:g} or above"
        )
    count = _directions_within(protocol, B_MAX_KURTOSIS)
    if count < 15:
        return f"{count} directions; kurtosis needs 15"
    return "" if np.any(protocol.b0_mask) else _without_b0(protocol)


def _noddi(protocol: DiffusionProtocol) -> str:
    if protocol.bvecs is None:
        return "no gradient directions (.bvec)"
    if not np.any(protocol.b0_mask):
        return _without_b0(protocol)
    weighted = protocol.bvals[~protocol.b0_mask]
    if weighted.size and not cluster_shells(weighted)[0].size:
        return GRID
    full = [float(protocol.bvals[images].mean()) for images in full_shells(protocol)]
    if len(full) >= 2 and full[-1] >= NODDI_MIN_TOP_B:
        return ""
    return (
        f"shells of {FEWEST_DIRECTIONS} or more directions at b = {np.round(full).astype(int).tolist()} "
        f"s/mm^2, from {LOWEST_B:g} up; NODDI needs 2, one at {NODDI_MIN_TOP_B:g} or above"
    )


def _without_b0(protocol: DiffusionProtocol) -> str:
    return (
        f"lowest b-value is {protocol.bvals.min():g} s/mm^2; an image at b = 0 is needed "
        f"(threshold {protocol.b0_threshold:g}, see --b0-threshold)"
    )


def _directions_within(protocol: DiffusionProtocol, b_max: float) -> int:
    if protocol.bvecs is None:
        return 0
    return count_directions(protocol.bvecs[~protocol.b0_mask & within(protocol, b_max)])
