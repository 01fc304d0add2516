"""Small versions of shipped recipes that train in seconds, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from bids_qmri.training.recipe import Recipe, parse_recipe, recipe_text


def small_recipe(name: str, *, steps: int = 150, groups: int = 24, **changes: Any) -> Recipe:
    """Return a shipped recipe with little data, small batches and few steps; keys with ``__`` for a dot."""
    small = {"data.groups": groups, "data.validation_groups": 8, "data.curves": 256}
    small |= {"training.steps": steps, "training.batch": 256, "training.warmup": 10}
    return parse_recipe(recipe_text(name), small | dotted(changes))


def dotted(changes: dict[str, Any]) -> dict[str, Any]:
    """Return changes of a recipe by its dotted keys."""
    return {key.replace("__", "."): value for key, value in changes.items()}


def changed_recipe(name: str, **changes: Any) -> Recipe:
    """Return a shipped recipe with some values changed; keys with ``__`` for a dot."""
    return parse_recipe(recipe_text(name), dotted(changes))
