"""Which models an acquisition allows, and why not the others. Pure functions of what was acquired."""

from __future__ import annotations

from collections.abc import Sequence

from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.estimators.obstacles import obstacle
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

IVIM_MAX_B = 1500.0
"""s/mm^2; series that go on beyond it are shells for tensors and kurtosis, unless IVIM is asked for."""

NOT_ASKED = "not among --models"


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
        reason = _obstacle(model, acquisition) or ("" if requested else _not_meant(model, acquisition))
        if reason:
            reasons[model] = reason
        else:
            models.append(model)
    return models, reasons


def _obstacle(model: str, acquisition: Acquisition) -> str:
    """Return what the acquisition lacks for a model, empty if nothing."""
    protocol = acquisition.protocol
    return obstacle(model, protocol) if isinstance(protocol, DiffusionProtocol) else ""


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
        is_ivim = not obstacle("ivim", protocol) and protocol.bvals.max() <= IVIM_MAX_B
        if model == "ivim" and not is_ivim:
            return f"b-values go up to {protocol.bvals.max():g} s/mm^2; ask for it with --models ivim"
        if model != "ivim" and is_ivim:
            return f"the b-values are those of IVIM; ask for it with --models {model}"
    return ""
