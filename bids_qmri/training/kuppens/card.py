"""The cards of the networks of the study: what they are, for what, and how much of the study's training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_qmri.estimators.posterior.box import quantities
from bids_qmri.estimators.networks.coverage import extremes, values
from bids_qmri.estimators.networks.features import CHANNELS, CONTEXT
from bids_qmri.training.card import FORMAT
from bids_qmri.training.export import IR_VERSION, OPSET
from bids_qmri.training.kuppens.curves import LENGTHS, fixed_protocol
from bids_qmri.training.kuppens.recipe import StudyRecipe


def mlp_card(recipe: StudyRecipe, text: str, weights: int, accuracy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card of a network for one protocol, as the application checks it.

    Parameters
    ----------
    recipe
        What was trained, seed and protocol included.
    text
        The recipe as it is written, whose protocol may have been replaced.
    weights
        Number of trained values.
    accuracy
        What `training.validate` returned.
    """
    protocol = fixed_protocol(recipe.acquisition)
    found = {name: list(ends) for name, ends in extremes(protocol).items()}
    bounds = {name: list(limits) for name, limits in recipe.bounds.items()}
    return {
        **_common(recipe, text, weights, accuracy),
        "quantities": list(quantities(recipe.forward)),
        "channels": list(CHANNELS[recipe.model]),
        "context": list(CONTEXT[recipe.model]),
        "anchor": "box",
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "coverage": {**found, "snr": list(recipe.curves.snr), "fixed": [], "bounds": bounds},
        "protocol": {key: array.tolist() for key, array in values(protocol).items()},
    }


def ncde_card(recipe: StudyRecipe, text: str, weights: int, accuracy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card of the controlled differential equation; arguments as in `mlp_card`."""
    return {
        **_common(recipe, text, weights, accuracy),
        "quantities": [p.name for p in recipe.forward.parameters],
        "coverage": {
            "measurements": list(LENGTHS[recipe.model]),
            "snr": list(recipe.curves.snr),
            "bounds": {name: list(limits) for name, limits in recipe.bounds.items()},
        },
    }


def _common(recipe: StudyRecipe, text: str, weights: int, accuracy: Mapping[str, Any]) -> dict[str, Any]:
    model, schedule = recipe.forward, recipe.training
    return {
        "format": FORMAT,
        "name": recipe.name,
        "description": recipe.description,
        "model": recipe.model,
        "units": {p.name: p.unit for p in (*model.parameters, *model.derived) if p.name != model.amplitude},
        "accuracy": dict(accuracy),
        "trained_values": weights,
        "seed": recipe.seed,
        "curves": schedule.steps * schedule.batch,
        "distinct_curves": recipe.curves.count,
        "fraction_of_study": round(schedule.fraction, 4),
        "recipe": text,
        "recipe_digest": recipe.digest(),
    }
