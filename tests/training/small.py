"""A small recipe that trains in seconds, for the tests of this folder."""

from __future__ import annotations

from dataclasses import replace

from bids_qmri.training.recipe import Recipe, parse_recipe, recipe_text


def small_recipe(name: str, *, steps: int = 150, groups: int = 24) -> Recipe:
    """Return a shipped recipe with little data, small batches and few steps."""
    recipe = parse_recipe(recipe_text(name))
    return replace(
        recipe,
        data=replace(recipe.data, groups=groups, validation_groups=8, curves=256),
        training=replace(recipe.training, steps=steps, batch=256, warmup=10),
    )
