"""What keeps a technique one folder and one line: the source, read as syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bids_qmri import catalogue

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bids_qmri"
FILES = sorted(PACKAGE.rglob("*.py"))
TECHNIQUES = {technique.name for technique in catalogue.TECHNIQUES}
NAMES = TECHNIQUES | set(catalogue.model_names()) | set(catalogue.FORMER_NAMES)

FILE_LINES, FUNCTION_LINES = 400, 50
LOOKUPS = ("get", "pop", "startswith", "endswith", "index")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def texts(node: ast.AST | None) -> Iterator[str]:
    """Yield the strings that an expression is, or lists."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for item in node.elts:
            yield from texts(item)
    elif isinstance(node, ast.Call) and node.args:
        yield from texts(node.args[0])  # frozenset(("vfa",))


def chosen_by(node: ast.AST) -> Iterator[str]:
    """Yield the strings by which a node chooses: of comparisons, cases, keys and lookups."""
    if isinstance(node, ast.Compare):
        for part in (node.left, *node.comparators):
            yield from texts(part)
    elif isinstance(node, ast.MatchValue):
        yield from texts(node.value)
    elif isinstance(node, ast.Subscript):
        yield from texts(node.slice)
    elif isinstance(node, ast.Dict):
        for key in node.keys:
            yield from texts(key)
    elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in LOOKUPS and node.args:
        yield from texts(node.args[0])


@pytest.mark.parametrize(
    "source",
    [
        "if model.name == 'vfa': pass",
        "x = kind in ('ivim', 'other')",
        "table = {'noddi': 1}",
        "table['dce']",
        "table.get('etofts')",
        "match name:\n    case 'dki': pass",
        "name.startswith('noddi')",
    ],
)
def test_choices_by_name_are_seen(source: str) -> None:
    found = [text for node in ast.walk(ast.parse(source)) for text in chosen_by(node)]
    assert set(found) & NAMES


def test_nothing_is_chosen_by_the_name_of_a_technique_or_model() -> None:
    """Outside the folder of the technique and the catalogue."""
    found = []
    for path in FILES:
        place = path.relative_to(PACKAGE)
        if place.name == "catalogue.py":
            continue
        own = place.parts[1] if place.parts[0] == "techniques" and len(place.parts) > 2 else ""
        mine = {own, *(m.name for t in catalogue.TECHNIQUES if t.name == own for m in t.models)}
        for node in ast.walk(tree(path)):
            found += [f"{place}:{node.lineno}: {text}" for text in chosen_by(node) if text in NAMES - mine]  # type: ignore[attr-defined]
    assert not found


def test_protocols_are_asked_not_told_apart() -> None:
    """Two places check the type of a protocol, where arrays come in; none tells techniques apart by it."""
    told = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in FILES
        if "techniques" not in path.parts
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"
        if "protocol" in ast.unparse(node.args[0]) or re.search(r"Protocol\b", ast.unparse(node.args[1]))
    ]
    assert len(told) <= 3, told


def test_protocols_have_a_type() -> None:
    """`Model` alone leaves its methods open to the protocol of each model."""
    anything = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.arg) and node.arg == "protocol")
        or (isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "protocol")
        if node.annotation is not None and ast.unparse(node.annotation) == "Any"
    ]
    assert len(anything) <= 5, anything


def test_files_and_functions_are_short() -> None:
    long = []
    folders = (ROOT / part for part in ("bids_qmri", "tests", "benchmarks"))
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        long += [f"{path.relative_to(ROOT)}: {lines}"] if lines > FILE_LINES else []
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                doc = (ast.get_docstring(node, clean=False) or "").count("\n") + 1
                size = (node.end_lineno or 0) - node.lineno + 1 - (doc if ast.get_docstring(node) else 0)
                long += [f"{path.relative_to(ROOT)}: {node.name} {size}"] if size > FUNCTION_LINES else []
    assert not long


def banned_words() -> list[tuple[str, str]]:
    """Return (word, what stands for it) of the table of words in CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("\n## Words\n", 1)[1].split("\n## ", 1)[0]
    rows = [row.strip("| ").split("|") for row in section.splitlines() if row.startswith("| ")][1:]
    return [(other.strip(" `"), row[0].strip(" `")) for row in rows for other in row[1].split(",")]


def test_one_word_for_one_thing() -> None:
    """The words that CONTRIBUTING puts aside stand in no page, message or docstring."""
    banned = banned_words()
    assert len(banned) >= 8
    pattern = re.compile("|".join(rf"\b{re.escape(word)}s?\b" for word, _ in banned), re.IGNORECASE)
    found = []
    for path in (*FILES, *PACKAGE.rglob("*.md"), *PACKAGE.rglob("*.html"), *(ROOT / "docs").glob("*.md")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            found += [f"{path.relative_to(ROOT)}:{number}: {hit}" for hit in pattern.findall(line)]
    assert not found
