"""Recipes of the study: what it prints about its training, and protocols for the networks of a single one."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from bids_qmri.cli.train import main  # noqa: E402
from bids_qmri.errors import UsageError  # noqa: E402
from bids_qmri.training.kuppens.recipe import STUDY_EPOCHS, is_study, parse_study  # noqa: E402
from bids_qmri.training.recipe import recipe_text, shipped_recipes  # noqa: E402

NAMES = [name for name in shipped_recipes() if is_study(recipe_text(name))]
TEXT = recipe_text("mlp-ivim")


def test_there_are_two_networks_for_each_technique() -> None:
    assert [f"{kind}-{what}" for kind in ("kuppens2025", "mlp") for what in ("dce", "ivim", "vfa")] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_training_is_the_one_that_the_study_prints(name: str) -> None:
    recipe = parse_study(recipe_text(name))
    assert recipe.name == name
    assert (recipe.training.batch, recipe.training.batches, recipe.training.rate) == (64, 100, 1e-4)
    assert recipe.curves.count == 1_000_000
    assert recipe.training.halved == (250, 350, 450, 550, 650)
    assert recipe.curves.snr == ((50, 300) if recipe.model == "vfa" else (5, 40))
    if recipe.ncde is not None:
        assert (recipe.ncde.atol, recipe.ncde.rtol) == (1e-5, 1e-3)
        assert recipe.ncde.halved == (300, 400, 500, 600)
        assert len(recipe.ncde.field) + 1 == 6


def test_schedule_is_that_of_the_study_whatever_the_length() -> None:
    full = replace(parse_study(TEXT).training, epochs=STUDY_EPOCHS)
    assert full.fraction == 1.0
    assert [full.halvings((250, 350), epoch * 100) for epoch in (0, 249, 250, 349, 350)] == [0, 0, 1, 1, 2]
    tenth = replace(full, epochs=75)
    assert [tenth.halvings((250, 350), epoch * 100) for epoch in (24, 25, 34, 35)] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[mlp]", "[perceptron]", "unknown: perceptron"),
        ("hidden = [64, 64, 64]", "", r"missing: mlp\.hidden"),
        ("bvals = [0, 10", "flip_angle = [1, 10", r"unknown: acquisition\.flip_angle"),
        ("rate = 1e-4", "rate = 'slow'", r"training\.rate: is 'slow'; needed: a number"),
        ("supervised = 1.0\n", "", r"missing: loss\.supervised"),
    ],
)
def test_faults_are_named(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(UsageError, match=message):
        parse_study(TEXT.replace(old, new, 1))


def test_protocol_can_be_replaced_by_one_of_the_same_technique() -> None:
    recipe = parse_study(TEXT).with_protocol({"bvals": [0.0, 10.0, 50.0, 600.0]})
    assert recipe.acquisition.bvals == (0.0, 10.0, 50.0, 600.0)
    assert recipe.digest() != parse_study(TEXT).digest()
    assert parse_study(TEXT).with_protocol({}) == parse_study(TEXT)
    with pytest.raises(UsageError, match=r"unknown: acquisition\.time"):
        parse_study(TEXT).with_protocol({"time": [9.0, 18.0]})


@pytest.mark.parametrize("name", ["kuppens2025-ivim", "ncde-ivim"])
def test_networks_for_any_protocol_take_none(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--bvals", "0", "10", "600"]) == 2
    assert "bvals given for" in capsys.readouterr().err
