"""Numbers and lists of pages are those of the benchmarks, the catalogue and the scripts they are about."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from model_figures import DRAWINGS, Drawing, main
from pages import ROOT

from bids_qmri import catalogue
from bids_qmri.outputs.tables import output_table

DOCS = ROOT / "docs"
NUMBER = re.compile(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?![\w])")
SOURCE = re.compile(r"\]\((\.\./benchmarks/results/[\w.-]+\.md)\)")


def statements(page: Path) -> list[str]:
    """Return table rows, points of lists and paragraphs that name results of benchmarks."""
    parts = re.split(r"\n\n|\n(?=[|-] ?)", page.read_text(encoding="utf-8"))
    return [part for part in parts if SOURCE.search(part)]


@pytest.mark.parametrize("name", ["choosing.md", "numbers.md"])
def test_measured_numbers_stand_in_the_results_that_are_cited(name: str) -> None:
    checked = 0
    for statement in statements(DOCS / name):
        cited = [
            (DOCS / source).resolve().read_text(encoding="utf-8") for source in SOURCE.findall(statement)
        ]
        text = re.sub(r"\]\([^)]*\)", "]", statement)
        for number in NUMBER.findall(text):
            if "." in number or "," in number:
                assert any(number in NUMBER.findall(page) for page in cited), f"{number} in: {statement}"
                checked += 1
    assert checked


def rows(page: str) -> dict[tuple[str, ...], set[str]]:
    """Return words in code of the second column of tables by those of the first."""
    found = {}
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        cells = [re.findall(r"`([\w*]+)`", cell) for cell in line.strip().strip("|").split("|")]
        if line.strip().startswith("|") and len(cells) == 2 and cells[0]:
            found[tuple(cells[0])] = set(cells[1])
    return found


def test_estimators_of_every_model_are_listed() -> None:
    listed = {name: words for names, words in rows("choosing.md").items() for name in names}
    assert listed == {entry.name: set(entry.estimators) for _, entry in catalogue.entries()}


def test_usage_lists_every_model_with_words_that_mean_something() -> None:
    known = set(catalogue.model_names())
    listed = {
        name: words for names, words in rows("usage.md").items() if set(names) <= known for name in names
    }
    assert set(listed) == known
    for name, words in listed.items():
        for word in words - known:
            assert catalogue.labels_for(name, [word]), f"{name}: {word}"


def test_every_finding_is_listed_with_its_version() -> None:
    page = (DOCS / "findings.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| [")]
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "findings").glob("*.sh")}
    listed = {re.search(r"findings/([\w-]+\.sh)", line)[1]: line.split("|")[2].strip() for line in lines}  # type: ignore[index]
    assert set(listed) == set(scripts)
    for name, version in listed.items():
        assert version.split()[-1] in scripts[name], f"{name}: {version}"


@pytest.mark.parametrize("name", catalogue.model_names())
def test_models_says_maps_with_units_and_estimators(name: str) -> None:
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    [section] = [one for one in sections if name in re.findall(r"\w+", one.splitlines()[0].split(":")[0])]
    lines = [" ".join(part.split()) for part in section.split("\n\n") if part.startswith("**Maps")]
    [line] = [one for one in lines if len(lines) == 1 or one.startswith(f"**Maps of `{name}`")]
    maps, estimators = line.split("**Estimators:**")
    assert set(re.findall(r"`(\w+)`", estimators)) == set(catalogue.find_entry(name)[1].estimators)
    shown = maps.replace("\\*", "*").replace("mm²/s", "mm^2/s")
    for row in output_table(name).maps:
        if row.name not in ("safety", "shift"):  # of `local` alone, for every technique
            unit = "" if row.unit in ("1", "arbitrary") else f" ({row.unit})"
            assert f" {row.symbol}{unit}" in shown, row.name


def test_every_technique_has_a_picture_that_is_drawn_from_its_model(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == set(re.findall(r"images/(model-\w+\.png)", page))
    assert all((DOCS / "images" / name).stat().st_size < 60_000 for name in drawn)
    techniques = {catalogue.find_entry(name[6:-4])[0].name for name in drawn}
    assert techniques == {technique.name for technique in catalogue.TECHNIQUES}


@pytest.mark.parametrize("drawn", DRAWINGS, ids=lambda drawn: drawn.__name__)
def test_curves_are_numbers(drawn: Callable[[], Drawing]) -> None:
    curves, *_ = drawn()
    for x, y in curves.values():
        assert x.shape == y.shape
        assert np.isfinite(y).mean() > 0.9
