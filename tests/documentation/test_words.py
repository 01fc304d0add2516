"""Options, recipes and keys that pages name in a sentence or a command are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import PARSERS, commands
from pages import PAGES, of_kind

from bids_qmri.training.recipe import shipped_recipes
from bids_qmri.training.table import load_toml

OTHERS = {
    *(
        "--containall",
        "--entrypoint",
        "--network",
        "--read-only",
        "--rm",
        "--tmpfs",
        "--userns",
        "--build-arg",
    ),
    *("--gres", "--array", "--update", "--pictures"),
}
"""Of docker, apptainer and SLURM, and of docs/run_blocks.py."""

SAMPLED = {"scheme.bval", "scheme.bvec"}
"""Keys that are files instead of what stands in the recipe."""


def known_options() -> set[str]:
    actions = [action for parser in PARSERS.values() for action in parser()._actions]
    return {option for action in actions for option in action.option_strings} | OTHERS


def options_in_text(page: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`([^`\n]+)`", text):
        yield from re.findall(r"(?<!\S)--[a-z][\w-]*", code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_sentences_name_are_there(page: Path) -> None:
    unknown = {option for option in options_in_text(page) if option.replace("_", "-") not in known_options()}
    assert not unknown


def trainings() -> list[list[str]]:
    found = [words for block in of_kind("shell") for words in commands(block.text)]
    return [words[1:] for words in found if words[0] == "bids_qmri-train"]


@pytest.mark.parametrize("words", trainings(), ids=" ".join)
def test_recipes_and_keys_that_commands_name_are_there(words: list[str]) -> None:
    named = next((word for word in words if not word.startswith("-")), "")
    if not words[0].startswith("-") and named not in ("finetune", "prior", "my-recipe.toml"):
        assert named in shipped_recipes()
        recipe = load_toml(shipped_recipes()[named])
        for key in re.findall(r"(?<!\S)(\w+\.\w+)=", " ".join(words)):
            section, _, name = key.partition(".")
            assert key in SAMPLED or name in recipe[section], key
    if words[0] == "finetune":
        assert words[1] in shipped_recipes()
