"""The page about techniques runs with the toy in the catalogue, as it would in the package."""

from __future__ import annotations

from pathlib import Path

from pages import ROOT, alike
from run_blocks import blocks, run_page
from toys import TOY, known

PAGE = ROOT / "docs" / "writing-a-technique.md"


def test_the_page_runs_and_its_line_is_that_of_the_toy(tmp_path: Path) -> None:
    with known():
        found = run_page(PAGE, tmp_path)
    [entry], [toy] = found.names["entry"].models, TOY.models
    assert (entry.name, entry.number, entry.place) == (toy.name, toy.number, toy.place.replace("toy.", ""))
    assert set(entry.estimators) <= set(toy.estimators)
    for block, said in found.printed.items():
        assert alike(said, block.text), f"{block.where}:\n{said}"


def test_every_file_of_the_toy_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for file in (ROOT / "tests" / "toy").glob("[!_]*.*"):
        assert f"`{file.name}`" in text
    assert {block.title for block in blocks(PAGE) if block.title} >= {
        "tests/toy/model.py",
        "tests/toy/reader.py",
    }
