"""Every link between files leads somewhere, anchors included, as GitHub shows them; addresses have a form."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from pages import ROOT

FOLDERS = ("", "docs", "benchmarks/results", "benchmarks", "boilerplate", "tests", "findings", "examples")
FILES = sorted({file for folder in FOLDERS for file in (ROOT / folder).glob("*.md")})
CODE = re.compile(r"```.*?^\s*```|``.*?``|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(
    r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s<>]*(?:\([^()\s]*\)[^()\s]*)*)>?(?:\s+\"[^\"]*\")?\)"
)


def links(file: Path) -> list[str]:
    text = CODE.sub("`code`", file.read_text(encoding="utf-8"))
    return [found[1] for found in LINK.finditer(text)]


@cache
def anchors(file: Path) -> frozenset[str]:
    """Return the anchors that GitHub gives the headings of a file."""
    text = re.sub(r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*\\]", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        times = sum(one == name or re.fullmatch(rf"{re.escape(name)}-\d+", one) is not None for one in found)
        found.append(f"{name}-{times}" if times else name)
    return frozenset(found)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(file: Path) -> None:
    for link in links(file):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme in ("https", "mailto"), link
            assert parts.scheme == "mailto" or re.fullmatch(r"[\w.-]+\.[a-z]{2,}", parts.netloc), link
            continue
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        assert target.is_relative_to(ROOT), f"{link} leaves the repository"
        assert target.exists(), f"{link} is not there"
        assert not parts.fragment or parts.fragment in anchors(target), f"{link}: no such heading"


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# `a`, b & c: *d\\**\n## Twice\n## Twice\n```\n# no heading\n```\n## [text](x.md) here\n"
    )
    assert anchors(page) == {"a-b--c-d", "twice", "twice-1", "text-here"}
