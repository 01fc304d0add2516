"""The card of a network for any multi-shell protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_qmri.techniques.noddi.zonal import CHANNELS, CONTEXT, QUANTITIES
from bids_qmri.techniques.noddi.model import D_ISO, D_PAR
from bids_qmri.training.card import FORMAT
from bids_qmri.training.export import IR_VERSION, OPSET
from bids_qmri.training.noddi.recipe import ShellRecipe


def shell_card(recipe: ShellRecipe, text: str, weights: int, accuracy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card as a dictionary that JSON can hold; its fields are those of `training.card`."""
    return {
        "format": FORMAT,
        "name": recipe.name,
        "description": recipe.description,
        "model": recipe.model,
        "quantities": list(QUANTITIES),
        "units": dict.fromkeys(QUANTITIES, "1"),
        "channels": list(CHANNELS),
        "context": list(CONTEXT),
        "anchor": "box",
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "coverage": coverage(recipe),
        "accuracy": dict(accuracy),
        "trained_values": weights,
        "seed": recipe.seed,
        "curves": recipe.training.steps * recipe.training.batch,
        "distinct_curves": recipe.signals.schemes * recipe.signals.voxels,
        "recipe": text,
        "recipe_digest": recipe.digest(),
    }


def coverage(recipe: ShellRecipe) -> dict[str, Any]:
    """Return the ranges of schemes, noise and diffusivities that training covered.

    b-values in s/mm^2, diffusivities in mm^2/s, `directions` and `bvals` of single shells.
    """
    ranges, signals = recipe.protocol, recipe.signals
    return {
        "shells": list(ranges.shells),
        "bvals": list(ranges.bvals),
        "largest_b": list(ranges.largest_b),
        "directions": list(ranges.directions),
        "b0": list(ranges.b0),
        "snr": list(signals.snr),
        "d_par": [min(D_PAR, signals.d_par[0]), max(D_PAR, signals.d_par[1])],
        "d_iso": [min(D_ISO, signals.d_iso[0]), max(D_ISO, signals.d_iso[1])],
        "bounds": {name: [0.0, 1.0] for name in QUANTITIES},
    }
