"""The card of a network: what it is, what it was trained for, and how good it is; nothing that has a date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_qmri.estimators.networks.network_file import FORMAT
from bids_qmri.training.recipe import Recipe


def make_card(
    recipe: Recipe, fields: Mapping[str, Any], weights: int, accuracy: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the card as a dictionary that JSON can hold.

    `fields` are what only networks of its kind have, `weights` is the number of trained values, `accuracy`
    holds figures of merit on what was not trained with.
    """
    model, data = recipe.forward, recipe.data
    known = (p for p in (*model.parameters, *model.derived) if not p.internal and p.name != model.amplitude)
    groups = getattr(data, "groups", 1)
    changes = {key: value for key, value in recipe.changes.items() if key.partition(".")[0] != "scheme"}
    return {
        "format": FORMAT,
        "kind": recipe.kind,
        "name": recipe.file_name,
        "description": recipe.description,
        "model": recipe.model,
        "units": {p.name: p.unit for p in known},
        **fields,
        "coverage": data.coverage(model, recipe.protocol),
        "accuracy": dict(accuracy),
        "trained_values": weights,
        "seed": recipe.seed,
        **recipe.training.card(),
        "distinct_curves": groups * (data.curves if hasattr(data, "curves") else data.count),
        "recipe": recipe.text,
        **({"set": changes} if changes else {}),
        "recipe_digest": recipe.digest(),
    }
