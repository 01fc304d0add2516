"""All pages that people read, the kinds of their blocks, and whether two outputs are alike."""

from __future__ import annotations

import re
from pathlib import Path

from run_blocks import Block, blocks

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
PROGRAMS = (
    "make",
    "pip",
    "docker",
    "podman",
    "apptainer",
    "bash",
    "python",
    "mkdir",
    "bosh",
    "rattler-build",
)
"""First words of shell blocks, beside our own commands."""

LANGUAGES = {"sh": "shell", "python": "python", "toml": "data", "json": "data", "yaml": "data"}
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.(\d+))?(?:e([-+]\d+))?")


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]


def kind(block: Block) -> str:
    """Return who has to check a block: its language says so, of plain text what it looks like."""
    if block.title:
        return "excerpt"
    if block.language in LANGUAGES:
        return LANGUAGES[block.language]
    first = block.text.split(maxsplit=1)[0]
    if block.language not in ("", "text"):
        return f"unknown language {block.language}"
    if first.startswith("-"):
        return "options"
    if "{participant,group}" in block.text:
        return "usage"
    if first.endswith("/"):
        return "tree"
    if " → " in block.text:
        return "layers"
    if block.language == "" and (first in PROGRAMS or first.startswith("bids_qmri")):
        return "shell"
    return "output"


def of_kind(*kinds: str) -> list[Block]:
    return [block for block in all_blocks() if kind(block) in kinds]


def alike(said: str, stated: str) -> bool:
    """Return whether two texts are the same but for numbers that differ by one in their last digit."""
    if NUMBER.sub("#", said).split() != NUMBER.sub("#", stated).split():
        return False
    pairs = zip(NUMBER.finditer(said), NUMBER.finditer(stated), strict=True)
    return all(
        abs(float(one[0]) - float(two[0])) < 1.001 * min(last_digit(one), last_digit(two))
        for one, two in pairs
    )


def last_digit(number: re.Match[str]) -> float:
    return float(10.0 ** (int(number[2] or 0) - len(number[1] or "")))
