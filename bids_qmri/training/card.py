"""The card of a network: what it is, what it was trained for, and how good it is; nothing that has a date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_qmri.estimators.posterior.box import quantities
from bids_qmri.estimators.networks.features import CHANNELS, CONTEXT
from bids_qmri.physics.model import Model
from bids_qmri.training.export import IR_VERSION, OPSET
from bids_qmri.training.recipe import Recipe
from bids_qmri.training.sampler import IvimRanges, VfaRanges

FORMAT = 1
"""Version of the fields of a card."""


def make_card(recipe: Recipe, text: str, weights: int, accuracy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card as a dictionary that JSON can hold.

    Parameters
    ----------
    recipe
        What was trained, seed included.
    text
        The recipe as it is written.
    weights
        Number of trained values.
    accuracy
        What `validate` returned.
    """
    model = recipe.forward
    return {
        "format": FORMAT,
        "name": recipe.name,
        "description": recipe.description,
        "model": recipe.model,
        "quantities": list(quantities(model)),
        "units": {p.name: p.unit for p in (*model.parameters, *model.derived) if p.name != model.amplitude},
        "channels": list(CHANNELS[recipe.model]),
        "context": list(CONTEXT[recipe.model]),
        "anchor": "map" if recipe.network.anchor else "box",
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "coverage": coverage(recipe, model),
        "accuracy": dict(accuracy),
        "trained_values": weights,
        "seed": recipe.seed,
        "curves": recipe.training.steps * recipe.training.batch,
        "distinct_curves": recipe.data.groups * recipe.data.curves,
        "recipe": text,
        "recipe_digest": recipe.digest(),
    }


def coverage(recipe: Recipe, model: Model) -> dict[str, Any]:
    """Return the ranges of protocols, noise and boxes that training covered.

    Angles are nominal, in degrees; times in s; b-values in s/mm^2; `bounds` in the units of the parameters.
    """
    ranges = recipe.protocol
    found: dict[str, Any] = {"measurements": list(ranges.measurements), "snr": list(recipe.data.snr)}
    if isinstance(ranges, VfaRanges):
        found["flip_angle"], found["b1"] = list(ranges.flip_angle), list(ranges.b1)
        found["repetition_time"] = list(ranges.repetition_time)
    elif isinstance(ranges, IvimRanges):
        found["bvals"] = [0.0, ranges.largest_b[1]]
        found["largest_b"] = list(ranges.largest_b)
    else:
        found["interval"], found["arrival"] = list(ranges.interval), [0.0, ranges.arrival]
    found["fixed"] = [name for name, span in recipe.boxes.items() if span.fixed > 0]
    found["bounds"] = {name: [span.lower[0], span.upper[1]] for name, span in recipe.boxes.items()}
    return found
