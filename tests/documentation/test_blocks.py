"""Every block of code on a page is run, or read by what it is for."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml
from commands import PARSERS, PROJECT, check, commands, parse
from pages import PAGES, ROOT, all_blocks, kind, of_kind
from run_blocks import Block

from bids_qmri.catalogue import get_model
from bids_qmri.errors import UsageError
from bids_qmri.estimation.prior import prior_choice
from bids_qmri.files import parse_json

CHECKED = ("python", "shell", "data", "options", "usage", "tree", "layers", "output", "excerpt")
"""Kinds that a test here or in `test_pages` takes; `output` is what a page's Python prints."""


def named(block: Block) -> str:
    return block.where


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    kinds = Counter(kind(block) for block in all_blocks())
    assert set(kinds) <= set(CHECKED), kinds
    for page in PAGES:
        fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert 2 * sum(block.page == page for block in all_blocks()) == len(fences), (
            f"{page.name}: odd fences"
        )


@pytest.mark.parametrize("block", of_kind("python"), ids=named)
def test_python_is_python(block: Block) -> None:
    """Where it is not run either, for want of what it needs."""
    compile(block.text, block.where, "exec")


def test_every_command_has_its_parser_here() -> None:
    assert {name.split()[0] for name in PARSERS} == set(PROJECT["scripts"])


@pytest.mark.parametrize("block", of_kind("shell"), ids=named)
def test_commands_are_read_by_their_own_parsers(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = list(commands(block.text))
    assert found
    for words in found:
        check(words)


@pytest.mark.parametrize(
    "wrong",
    [
        "bids_qmri a b participant --modelz vfa",
        "docker run --rm bids_qmri a b participants",
        "bids_qmri-train finetune --frozen",
        "make tests",
        "frobnicate",
        "bash examples/no.sh",
        "pip install 'bids_qmri[none]'",
    ],
)
def test_what_is_wrong_would_be_seen(wrong: str) -> None:
    [words] = commands(wrong)
    with pytest.raises((AssertionError, UsageError)):
        check(words)


@pytest.mark.parametrize("block", of_kind("excerpt"), ids=named)
def test_excerpts_stand_in_the_files_that_they_are_of(block: Block) -> None:
    """But for indentation; a line of three dots leaves something out."""
    file = " ".join((ROOT / block.title).read_text(encoding="utf-8").split())
    for part in re.split(r"^\.\.\.$", block.text, flags=re.MULTILINE):
        assert " ".join(part.split()) in file, f"{block.where}: {block.title} has changed"


@pytest.mark.parametrize("block", of_kind("options"), ids=named)
def test_options_in_lists_are_known(block: Block) -> None:
    for line in block.text.splitlines():
        for part in re.split(r" {2,}", line):
            if part.startswith("-"):
                parse("bids_qmri", ["BIDS_DIR", "OUTPUT_DIR", "participant", *part.split()])


@pytest.mark.parametrize("block", of_kind("usage"), ids=named)
def test_usage_is_what_the_command_says(block: Block) -> None:
    said = PARSERS["bids_qmri"]().format_usage().removeprefix("usage: ")
    assert block.text.split() == said.split()


@pytest.mark.parametrize("block", of_kind("layers"), ids=named)
def test_layers_are_those_that_imports_are_held_to(block: Block) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    whole, inside = ([re.findall(r"\w+", row) for row in contract["layers"]] for contract in contracts[:2])
    *outer, inner = block.text.strip().split("\ninside a technique: ")
    for text, layers in ((outer[0], whole), (inner, inside)):
        names = re.findall(r"\w+", text)
        floors = [index for name in names for index, row in enumerate(layers) if name in row]
        assert len(floors) == len(names), "a name that is no layer"
        assert floors == sorted(floors)


@pytest.mark.parametrize("block", of_kind("data"), ids=named)
def test_files_of_options_are_read_by_our_readers(block: Block, tmp_path: Path) -> None:
    if block.language == "yaml":
        assert yaml.safe_load(block.text)
    elif block.language == "json":
        assert parse_json(block.text)
    else:
        file = tmp_path / "prior.toml"
        file.write_text(block.text, encoding="utf-8")
        [model] = {key.split(".")[0] for key in tomllib.loads(block.text)}
        assert prior_choice(file, get_model(model))
