"""The Python of every page runs in its order, prints what the page says, and finds the truth.

The client of docs/inline.md needs a server: `tests/inline/test_documented_client.py` runs it. The toy
technique has to be known: `test_writing_a_technique.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import PAGES, alike, of_kind
from run_blocks import Block, Ran, run_page

from bids_qmri.demo.phantom import abdomen, brain

ELSEWHERE = {"inline.md", "writing-a-technique.md"}
OF_PYTHON = {block.page for block in of_kind("python")}
RUN = [page for page in PAGES if page in OF_PYTHON and page.name not in ELSEWHERE]


@pytest.fixture(scope="module")
def ran(demo: Path) -> dict[str, Ran]:
    """Return what was run, by page; a page is run once."""
    return {}


def result(page: Path, demo: Path, ran: dict[str, Ran]) -> Ran:
    if page.name not in ran:
        ran[page.name] = run_page(page, demo)
    return ran[page.name]


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_python_runs_and_prints_what_the_page_says(page: Path, demo: Path, ran: dict[str, Ran]) -> None:
    found = result(page, demo, ran)
    for block in of_kind("output"):
        if block.page == page:
            said = found.printed[block]
            assert alike(said, block.text), f"{block.where}: docs/run_blocks.py --update\n{said}"


def test_outputs_stand_behind_python_that_a_test_runs() -> None:
    assert {block.page.name for block in of_kind("output")} <= {page.name for page in RUN} | ELSEWHERE


@pytest.mark.parametrize(
    ("stated", "same"),
    [
        ("T1 0.851 s", True),
        ("T1 0.852 s", False),
        ("T1 0.84 s", False),
        ("T2 0.850 s", False),
        ("T1 0.850", False),
    ],
)
def test_numbers_may_differ_in_their_last_digit_alone(stated: str, same: bool) -> None:
    assert alike("T1 0.850  s\n", stated) == same


@pytest.mark.parametrize("block", of_kind("tree"), ids=lambda block: block.where)
def test_trees_show_files_that_there_are(block: Block, demo: Path) -> None:
    lines = block.text.splitlines()
    root = demo / "demo/bids_qmri" if lines[0].startswith("OUTPUT_DIR") else block.page.parent
    above = root if lines[0].startswith("OUTPUT_DIR") else root / lines[0].strip()
    assert above.is_dir()
    for line in lines[1:]:
        names = re.split(r" {2,}", line.strip())[0].split()
        for name in names:
            place = (above if line.startswith(" ") else root) / name.replace("sub-01", "sub-abdomen01")
            assert place.exists(), f"{block.where}: {name}"


# What noise and the estimator's own bias leave in a median at the noise of the phantoms.
GALLERY = {"t1": 0.01, "ivim": 0.2, "noddi": 0.1, "dce": 0.05}


@pytest.mark.parametrize("name", GALLERY)
def test_galleries_find_the_truth(name: str, demo: Path, ran: dict[str, Ran]) -> None:
    [page] = [page for page in PAGES if page.name == f"gallery-{name}.md"]
    names = result(page, demo, ran).names
    picture = demo / f"gallery-{name}.png"
    assert 20_000 < picture.stat().st_size < 150_000
    phantom = brain() if name in ("t1", "noddi") else abdomen()
    truths = {tissue.name: tissue.truth for tissue in phantom.tissues}
    for key, found in names["medians"].items():
        parameter, tissue = key if isinstance(key, tuple) else ("t1", key)
        least_squares = found[0] if isinstance(found, list) else found
        assert least_squares == pytest.approx(truths[tissue][parameter], rel=GALLERY[name]), key
