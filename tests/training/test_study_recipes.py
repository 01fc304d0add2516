"""Recipes of the study: what it prints about its training, and protocols for the networks of a single one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bids_qmri.errors import UsageError
from bids_qmri.training.parts import Spline
from bids_qmri.training.recipe import parse_recipe, recipe_text
from bids_qmri.training.schedules import STUDY_EPOCHS, halvings

NAMES = [f"{kind}-{what}" for kind in ("kuppens2025", "mlp") for what in ("dce", "ivim", "vfa")]
TEXT = recipe_text("mlp-ivim")


@pytest.mark.parametrize("name", NAMES)
def test_training_is_the_one_that_the_study_prints(name: str) -> None:
    recipe = parse_recipe(recipe_text(name))
    assert recipe.name == name
    assert (recipe.training.batch, recipe.training.batches, recipe.training.rate) == (64, 100, 1e-4)
    assert recipe.data.count == 1_000_000
    assert recipe.training.halved == (250, 350, 450, 550, 650)
    assert recipe.data.snr == ((50, 300) if recipe.model == "vfa" else (5, 40))
    if name.startswith("kuppens2025"):
        assert isinstance(recipe.network, Spline)
        assert (recipe.network.atol, recipe.network.rtol) == (1e-5, 1e-3)
        assert recipe.network.halved == (300, 400, 500, 600)
        assert len(recipe.network.field) + 1 == 6


def test_schedule_is_that_of_the_study_whatever_the_length() -> None:
    full = replace(parse_recipe(TEXT).training, epochs=STUDY_EPOCHS)
    assert full.card()["fraction_of_study"] == 1.0
    steps = full.steps_for({})
    found = [halvings((250, 350), epoch * 100, steps) for epoch in (0, 249, 250, 349, 350)]
    assert found == [0, 0, 1, 1, 2]
    tenth = replace(full, epochs=75).steps_for({})
    assert [halvings((250, 350), epoch * 100, tenth) for epoch in (24, 25, 34, 35)] == [0, 1, 1, 2]
    assert full.rate_at(0) == 1e-4
    assert full.rate_at(300 * 100) == 0.5e-4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('type = "heads"', 'type = "perceptrons"', r"network\.type: is 'perceptrons'; needed: one of"),
        ("hidden = [64, 64, 64]", "", r"missing: network\.hidden"),
        ("bvals = [0, 10", "flip_angle = [1, 10", r"unknown: protocol\.flip_angle"),
        ("rate = 1e-4", "rate = 'slow'", r"training\.rate: is 'slow'; needed: a number"),
        ("supervised = 1.0\n", "", r"missing: loss\.supervised"),
    ],
)
def test_faults_are_named(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(UsageError, match=message):
        parse_recipe(TEXT.replace(old, new, 1))


def test_protocol_can_be_replaced_by_one_of_the_same_technique() -> None:
    recipe = parse_recipe(TEXT, {"protocol.bvals": [0.0, 10.0, 50.0, 600.0]})
    assert recipe.protocol.bvals == (0.0, 10.0, 50.0, 600.0)
    assert recipe.digest() != parse_recipe(TEXT).digest()
    assert parse_recipe(TEXT, {}) == parse_recipe(TEXT)
    with pytest.raises(UsageError, match=r"unknown: protocol\.time"):
        parse_recipe(TEXT, {"protocol.time": [9.0, 18.0]})


@pytest.mark.parametrize("name", ["kuppens2025-ivim", "ncde-ivim"])
def test_networks_for_any_protocol_take_none(name: str) -> None:
    with pytest.raises(UsageError, match=r"unknown: protocol\.bvals"):
        parse_recipe(recipe_text(name), {"protocol.bvals": [0.0, 10.0, 600.0]})
