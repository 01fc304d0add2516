"""Recipes define a network completely; what they do not know they refuse by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bids_qmri.errors import UsageError
from bids_qmri.models.registry import get_model
from bids_qmri.training.recipe import load_toml, parse_recipe, recipe_text, shipped_recipes

TEXT = recipe_text("ncde-ivim")


@pytest.mark.parametrize("name", [n for n in shipped_recipes() if "boxes" in load_toml(recipe_text(n))])
def test_shipped_recipes_are_complete_and_named_as_their_files(name: str) -> None:
    recipe = parse_recipe(recipe_text(name))
    assert recipe.name == name
    for parameter in get_model(recipe.model).parameters:
        if parameter.name == get_model(recipe.model).amplitude:
            continue
        span = recipe.boxes[parameter.name]
        assert span.lower[0] <= parameter.training[0]
        assert parameter.training[1] <= span.upper[1]


@pytest.mark.parametrize("which", ["vfa", "ivim", "dce"])
@pytest.mark.parametrize(
    ("kind", "path", "anchor"), [("ncde-alone", True, False), ("mlp-anchor", False, True)]
)
def test_controls_differ_from_the_shipped_network_in_one_part_and_in_length(
    kind: str, which: str, path: bool, anchor: bool
) -> None:
    control, shipped = (
        parse_recipe(recipe_text(f"{kind}-{which}")),
        parse_recipe(recipe_text(f"ncde-{which}")),
    )
    assert control.network == replace(shipped.network, path=path, anchor=anchor)
    assert control.training == replace(shipped.training, steps=control.training.steps)
    assert control.data == replace(shipped.data, groups=control.data.groups)
    assert (control.boxes, control.protocol) == (shipped.boxes, shipped.protocol)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch = 1024", "batch = 1024\nmomentum = 0.9", r"unknown: training\.momentum"),
        ("seed = 1", "seed = 1\nmethod = 'x'", "unknown: method"),
        ("clip = 1.0\n", "", r"missing: training\.clip"),
        ("batch = 1024", "batch = 'many'", r"training\.batch: is 'many'; needed: a whole number"),
        ("path = true", "path = 1", r"network\.path: is 1; needed: true or false"),
        ("snr = [2, 500]", "snr = [2]", r"data\.snr: is \[2\]; needed: a list of a number, a number"),
        ("[boxes.f]", "[boxes.g]", r"unknown: boxes\.g"),
        ('model = "ivim"', 'model = "noddi"', "model is 'noddi'; needed: one of"),
        ("seed = 1", "seed = ", "not TOML"),
        ("seed = 1", "seed = '1'", "seed: is '1'; needed: a whole number"),
    ],
)
def test_faults_are_named(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(UsageError, match=message):
        parse_recipe(TEXT.replace(old, new, 1))


def test_a_name_that_nobody_knows_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"neither a shipped recipe nor a file; needed: one of .*ncde-ivim"):
        recipe_text("ncde-knee")


def test_digest_depends_on_every_value_and_on_nothing_else() -> None:
    recipe = parse_recipe(TEXT)
    assert recipe.digest() == parse_recipe("# another comment\n" + TEXT).digest()
    assert recipe.with_seed(2).digest() != recipe.digest()
    assert recipe.with_seed(None) is recipe
    assert parse_recipe(TEXT.replace("clip = 1.0", "clip = 2.0")).digest() != recipe.digest()


def test_whole_numbers_are_numbers() -> None:
    assert parse_recipe(TEXT).data.snr == (2.0, 500.0)
    assert isinstance(parse_recipe(TEXT).data.snr[0], float)
