"""Which models an acquisition allows, and why not the others. Pure functions of what was acquired."""

from __future__ import annotations

from collections.abc import Sequence

from bids_qmri import catalogue
from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.physics.model import Model

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
        Why each of the other models of its kind is left out, by name.
    """
    names = catalogue.models_of(acquisition.kind)
    reasons = {name: NOT_ASKED for name in names if requested and name not in requested}
    possible: list[str] = []
    for name in names:
        if name not in reasons:
            reason = _obstacle(catalogue.get_model(name), acquisition)
            if reason:
                reasons[name] = reason
            else:
                possible.append(name)
    if requested:
        return possible, reasons
    unmeant = _not_meant(possible, acquisition)
    return [name for name in possible if name not in unmeant], reasons | unmeant


def _obstacle(model: Model, acquisition: Acquisition) -> str:
    """Return what the acquisition lacks for a model, empty if nothing."""
    return "" if acquisition.protocol is None else model.obstacle(acquisition.protocol)


def _not_meant(names: Sequence[str], acquisition: Acquisition) -> dict[str, str]:
    """Return why possible models are not those that the acquisition was made for."""
    protocol, models = acquisition.protocol, [catalogue.get_model(name) for name in names]
    claiming = [m for m in models if protocol is not None and m.claims(protocol)]
    found: dict[str, str] = {}
    for model in models:
        reason = model.on_request if protocol is None else model.not_meant(protocol)
        if claiming and model not in claiming and not reason:
            owner = ", ".join(m.name for m in claiming)
            reason = f"the protocol is that of {owner}; ask for it with --models {model.name}"
        if reason:
            found[model.name] = reason
    return found
