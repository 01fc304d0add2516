"""Which models an acquisition allows, and why not the others. Pure functions of what was acquired."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.estimators.dipy_tensor import B_MAX_KURTOSIS, B_MAX_TENSOR, count_directions, within
from bids_qmri.estimators.multishell import FEWEST_DIRECTIONS, LOWEST_B, full_shells
from bids_qmri.estimators.registry import NEED_NOISE
from bids_qmri.models.registry import get_model
from bids_qmri.models.shells import cluster_shells
from bids_qmri.protocol import DiffusionProtocol

MODELS_OF_KIND = {
    "vfa": ("vfa",),
    "dwi": ("ivim", "tensor", "dki", "noddi"),
    "dce": ("etofts", "tofts"),
}
"""Models by sequence family, in the order in which they are run."""

IVIM_PERFUSION_B = 200.0
"""s/mm^2; blood in capillaries has lost its signal above it."""
IVIM_MAX_B = 1500.0
"""s/mm^2; series that go on beyond it are shells for tensors and kurtosis, unless IVIM is asked for."""
SAME_LOW_B = 5.0
"""s/mm^2 above the lowest b-value within which images count as its repetitions."""
DKI_MIN_TOP_B = 1500.0
"""s/mm^2; kurtosis does not show below it."""
NODDI_MIN_TOP_B = 1000.0
"""s/mm^2; below it, signals of neurites and of what surrounds them can hardly be told apart."""

NOT_ASKED = "not among --models"
GRID = "the b-values lie on a grid rather than on shells"


def choose_models(acquisition: Acquisition, requested: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Choose the models to fit to an acquisition.

    Parameters
    ----------
    acquisition
        What was found.
    requested
        Models asked for; empty takes those that the acquisition was made for.

    Returns
    -------
    models
        Names, in the order in which they are run.
    reasons
        Why each of the family's other models is left out, by name.
    """
    family = MODELS_OF_KIND[acquisition.kind]
    models: list[str] = []
    reasons: dict[str, str] = {}
    for model in family:
        if requested and model not in requested:
            reasons[model] = NOT_ASKED
            continue
        reason = obstacle(model, acquisition) or ("" if requested else _not_meant(model, acquisition))
        if reason:
            reasons[model] = reason
        else:
            models.append(model)
    return models, reasons


def obstacle(model: str, acquisition: Acquisition) -> str:
    """Return what the acquisition lacks for a model, empty if nothing."""
    if not isinstance(acquisition.protocol, DiffusionProtocol):
        return ""
    obstacles = {
        "ivim": _ivim_obstacle,
        "tensor": _tensor_obstacle,
        "dki": _dki_obstacle,
        "noddi": _noddi_obstacle,
    }
    return obstacles[model](acquisition.protocol)


def estimator_obstacle(model: str, label: str, acquisition: Acquisition) -> str:
    """Return what the acquisition lacks for an estimator of a model it allows, empty if nothing.

    Parameters
    ----------
    model, label
        Of a possible fit.
    acquisition
        What was found.
    """
    protocol = acquisition.protocol
    if model == "noddi" or label not in NEED_NOISE or protocol is None:
        return ""
    count = protocol.n_measurements
    if isinstance(protocol, DiffusionProtocol) and label != "mle":
        count = cluster_shells(protocol.bvals)[0].size
    needed = len(get_model(model).parameters) + 1
    return (
        ""
        if count >= needed
        else f"the noise level is estimated from {needed} measurements or more, not {count}"
    )


def _not_meant(model: str, acquisition: Acquisition) -> str:
    """Return why a possible model is not the one the acquisition was made for, empty if it is."""
    protocol = acquisition.protocol
    if model == "tofts":
        return "etofts is fitted; ask for it with --models tofts"
    if isinstance(protocol, DiffusionProtocol):
        is_ivim = not _ivim_obstacle(protocol) and protocol.bvals.max() <= IVIM_MAX_B
        if model == "ivim" and not is_ivim:
            return f"b-values go up to {protocol.bvals.max():g} s/mm^2; ask for it with --models ivim"
        if model != "ivim" and is_ivim:
            return f"the b-values are those of IVIM; ask for it with --models {model}"
    return ""


def _ivim_obstacle(protocol: DiffusionProtocol) -> str:
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


def _tensor_obstacle(protocol: DiffusionProtocol) -> str:
    if protocol.bvecs is None:
        return "no gradient directions (.bvec)"
    count = _directions_within(protocol, B_MAX_TENSOR)
    if count < 6:
        return f"{count} directions with b up to {B_MAX_TENSOR:g} s/mm^2; a tensor needs 6"
    return "" if np.any(protocol.b0_mask) else _without_b0(protocol)


def _dki_obstacle(protocol: DiffusionProtocol) -> str:
    centres, groups = cluster_shells(protocol.bvals[within(protocol, B_MAX_KURTOSIS)])
    if not centres.size:
        return GRID
    full = centres[(centres > protocol.b0_threshold) & (np.bincount(groups) >= 6)]
    if full.size < 2 or full[-1] < DKI_MIN_TOP_B:
        return (
            f"shells of 6 or more directions at b = {np.round(full).astype(int).tolist()} s/mm^2, "
            f"up to {B_MAX_KURTOSIS:g}; kurtosis needs 2, one at {DKI_MIN_TOP_B:g} or above"
        )
    count = _directions_within(protocol, B_MAX_KURTOSIS)
    if count < 15:
        return f"{count} directions; kurtosis needs 15"
    return "" if np.any(protocol.b0_mask) else _without_b0(protocol)


def _noddi_obstacle(protocol: DiffusionProtocol) -> str:
    if protocol.bvecs is None:
        return "no gradient directions (.bvec)"
    if not np.any(protocol.b0_mask):
        return _without_b0(protocol)
    if not cluster_shells(protocol.bvals)[0].size:
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
