"""Recipes define a network completely; what they do not know they refuse by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bids_qmri.errors import UsageError
from bids_qmri.training.curves import Curves
from bids_qmri.training.recipe import Recipe, parse_recipe, recipe_text, shipped_recipes
from bids_qmri.training.table import read_setting

TEXT = recipe_text("ncde-ivim")
RECIPES = {name: parse_recipe(text) for name, text in shipped_recipes().items()}


def test_there_are_the_recipes_of_the_package_and_of_the_techniques() -> None:
    kinds = ("kuppens2025", "mlp", "mlp-anchor", "ncde", "ncde-alone")
    expected = {f"{kind}-{which}" for kind in kinds for which in ("vfa", "ivim", "dce")}
    assert set(RECIPES) == expected | {
        *("ncde-noddi", "rot2025-noddi"),
        *("ncde-irt1", "ncde-mese", "ncde-epg", "ncde-megre"),
    }
    found: dict[str, set[str]] = {}
    for name, recipe in RECIPES.items():
        found.setdefault(recipe.kind, set()).add(name)
    assert found["protocol"] == {"mlp-vfa", "mlp-ivim", "mlp-dce"}
    assert found["scheme"] == {"rot2025-noddi"}
    assert recipe_text("noddi") == recipe_text("rot2025-noddi")


@pytest.mark.parametrize("name", [n for n, recipe in RECIPES.items() if isinstance(recipe.data, Curves)])
def test_shipped_recipes_are_complete_and_named_as_their_files(name: str) -> None:
    recipe = parse_recipe(recipe_text(name))
    assert recipe.name == name
    for parameter in recipe.forward.parameters:
        if parameter.name == recipe.forward.amplitude:
            continue
        span = recipe.data.boxes[parameter.name]
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
    assert (control.loss, control.protocol) == (shipped.loss, shipped.protocol)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch = 1024", "batch = 1024\nmomentum = 0.9", r"unknown: training\.momentum"),
        ("seed = 1", "seed = 1\nmethod = 'x'", "unknown: method"),
        ("clip = 1.0\n", "", r"missing: training\.clip"),
        ("batch = 1024", "batch = 'many'", r"training\.batch: is 'many'; needed: a whole number"),
        ("path = true", "path = 1", r"network\.path: is 1; needed: true or false"),
        ("snr = [2, 500]", "snr = [2]", r"data\.snr: is \[2\]; needed: a list of a number, a number"),
        ("[data.boxes.f]", "[data.boxes.g]", r"unknown: data\.boxes\.g"),
        ('model = "ivim"', 'model = "knee"', "model: is 'knee'; needed: one of vfa, ivim"),
        (
            'model = "ivim"',
            'model = "dti"',
            "there is no Ranges for dti; needed: a class Ranges in sampling.py",
        ),
        ("[data]", "[data]\ntype = 'curve'", r"data\.type: is 'curve'; needed: one of curves, varied, fixed"),
        ("[loss]", "[loss]\ntype = 'study'", r"unknown: loss\.snr_power"),
        ("[network]", "[labels]\nkind = 'gt'\n[network]", "unknown: labels"),
        ("[protocol]", "[scheme]", "unknown: scheme; needed: a table protocol"),
        (
            "seed = 1",
            "seed = 1\nsettings = {d_par = 1.0}",
            "settings, ivim.d_par: ivim has no setting 'd_par'",
        ),
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


def test_parts_that_do_not_fit_together_are_refused() -> None:
    loss = {"loss": {"type": "squares"}}
    with pytest.raises(UsageError, match=r"loss\.type: reads labels, data are features; needed: one of anch"):
        parse_recipe(TEXT, loss)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("training.steps=10", "training.steps", 10),
        ("training.rate=1e-3", "training.rate", 1e-3),
        ("network.path=false", "network.path", False),
        ("labels.kind=mle", "labels.kind", "mle"),
        ('labels.kind="mle"', "labels.kind", "mle"),
        ("protocol.bvals=0,10,600", "protocol.bvals", [0, 10, 600]),
        ("protocol.bvals = [0, 10.5]", "protocol.bvals", [0, 10.5]),
        ("scheme.bval=sub-1/dwi.bval", "scheme.bval", "sub-1/dwi.bval"),
    ],
)
def test_settings_are_read_as_toml_lists_or_texts(text: str, key: str, value: object) -> None:
    assert read_setting(text) == (key, value)


@pytest.mark.parametrize("text", ["training.steps", "=3", "training.steps="])
def test_settings_without_key_or_value_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--set: is .*; needed: section\.key=value"):
        read_setting(text)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.steps", "many", r"training\.steps: is 'many'; needed: a whole number"),
        ("training.colour", 1, r"unknown: training\.colour"),
        (
            "data.boxes.f.lower",
            [0.1],
            r"data\.boxes\.f\.lower: is \[0\.1\]; needed: a list of a number, a num",
        ),
        ("seed.of", 1, r"seed\.of: seed is 1, not a table"),
    ],
)
def test_what_is_set_is_checked_key_by_key(key: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_recipe(TEXT, {key: value})


def test_what_is_set_replaces_what_is_written_and_counts() -> None:
    recipe: Recipe = parse_recipe(TEXT, {"training.clip": 2.0, "data.boxes.f.lower": [0.0, 0.05]})
    assert (recipe.training.clip, recipe.data.boxes["f"].lower) == (2.0, (0.0, 0.05))
    assert recipe.data.boxes["f"].upper == parse_recipe(TEXT).data.boxes["f"].upper
    assert recipe.digest() != parse_recipe(TEXT).digest()


def test_digest_depends_on_every_value_and_on_nothing_else() -> None:
    recipe = parse_recipe(TEXT)
    assert recipe.digest() == parse_recipe("# another comment\n" + TEXT).digest()
    assert recipe.with_seed(2).digest() != recipe.digest()
    assert recipe.with_seed(None) is recipe
    assert parse_recipe(TEXT.replace("clip = 1.0", "clip = 2.0")).digest() != recipe.digest()


def test_whole_numbers_are_numbers() -> None:
    assert parse_recipe(TEXT).data.snr == (2.0, 500.0)
    assert isinstance(parse_recipe(TEXT).data.snr[0], float)
