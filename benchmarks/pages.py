"""Every page of the demonstration and of measured data in a browser: is anything cut or missing?

Run as ``python benchmarks/pages.py [RESULTS ...]``; writes ``benchmarks/results/pages.md``. Without folders
of results it makes them: the demonstration, and the measured data of BIDS_QMRI_SHARED. Needs the
package's extra test and Chromium on the PATH. Each page is opened 400 and 1440 pixels wide, light and dark,
folded and unfolded, and printed on A4.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from browser.conftest import NAMES, PATIENCE, Visit, opened
from browser.viewing import CUT, HEADS_CUT, INVISIBLE, OPEN, SPILLED, drawn

RESULTS = Path(__file__).parent / "results" / "pages.md"
PAPER = 718
"""Pixels of A4 between margins of 10 mm, at 96 an inch."""

ALWAYS = {"cut": CUT, "heads cut": HEADS_CUT, "spilled": SPILLED}
UNFOLDED = ALWAYS | {"missing": INVISIBLE}


@dataclass
class Page:
    """What was found of one page: bytes, pixels high when folded at 1440, ms until loaded, faults."""

    path: Path
    size: int
    height: int = 0
    loaded: float = 0.0
    views: int = 0
    faults: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="*", type=Path, help="output folders of bids_qmri")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [folder.resolve() for folder in chosen.results] or list(made(Path(scratch)))
        chromium = next(filter(None, map(shutil.which, NAMES)))
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"], timeout=PATIENCE
            )
            pages = [look(browser, path) for folder in folders for path in sorted(folder.glob("*.html"))]
            browser.close()
        RESULTS.write_text(report(pages), encoding="utf-8")
    for page in pages:
        for fault in page.faults:
            print(f"{page.path.name}: {fault}")


def made(scratch: Path) -> Iterator[Path]:
    """Yield the results of the demonstration and of the measured data, by all default estimators."""
    subprocess.run(
        [sys.executable, "-m", "bids_qmri.demo", scratch / "demo"], check=True, stdout=subprocess.DEVNULL
    )
    yield next((scratch / "demo").glob("*/index.html")).parent
    shared = os.environ.get("BIDS_QMRI_SHARED")
    if shared is not None:
        out = scratch / "measured"
        command = [sys.executable, "-m", "bids_qmri", Path(shared) / "bids-real", out, "participant", "group"]
        # Scans that are at fault on purpose are among the data: pages of the others, and of theirs, count.
        subprocess.run([*command, "-w", scratch / "work"], check=False, stderr=subprocess.DEVNULL)
        yield out


def look(browser: Any, path: Path) -> Page:
    """Open a page in every way."""
    page = Page(path, path.stat().st_size)
    for width in (1440, 400):
        for scheme in ("light", "dark"):
            seen = opened(browser, path, width, color_scheme=scheme)
            drawn(seen)
            if width == 1440 and not page.views:
                page.height = seen.page.evaluate("document.documentElement.scrollHeight")
                page.loaded = seen.page.evaluate(
                    "performance.timing.loadEventEnd - performance.timing.navigationStart"
                )
            examine(page, seen, f"{width} px, {scheme}", width, ALWAYS)
            seen.page.evaluate(OPEN)
            examine(page, seen, f"{width} px, {scheme}, unfolded", width, UNFOLDED)
            seen.page.context.close()
    for unfolded in (False, True):
        seen = opened(browser, path, PAPER)
        seen.page.emulate_media(media="print")
        if unfolded:
            seen.page.evaluate(OPEN)
        examine(page, seen, "print, unfolded" if unfolded else "print", PAPER, ALWAYS)
        if len(seen.page.pdf(format="A4")) < 5_000:
            page.faults.append("prints nothing")
        seen.page.context.close()
    return page


def examine(page: Page, seen: Visit, how: str, width: int, checks: dict[str, str]) -> None:
    """Note what is wrong in one view."""
    page.views += 1
    for name, check in checks.items():
        page.faults += [f"{how}: {name}: {text}" for text in seen.page.evaluate(check)]
    if seen.page.evaluate("document.documentElement.scrollWidth") > width:
        page.faults.append(f"{how}: wider than the screen")
    if not seen.clean:
        page.faults.append(f"{how}: {seen.complaints or seen.requests}")


def report(pages: list[Page]) -> str:
    """Return the table."""
    views, faults = sum(page.views for page in pages), sum(len(page.faults) for page in pages)
    lines = [
        "# Pages in a browser",
        "",
        f"{len(pages)} pages in {views} views (400 and 1440 pixels, light, dark, print, folded and not):",
        f"{faults} faults (text cut, figures missing, wider than the screen, complaints, requests).",
        "Again: `python benchmarks/pages.py`.",
        "",
        "| page | kB | pixels high, 1440 wide | loaded in ms | faults |",
        "|---|---|---|---|---|",
    ]
    for page in pages:
        name = f"{page.path.parent.name}/{page.path.name}"
        lines.append(
            f"| {name} | {page.size / 1000:.0f} | {page.height} | {page.loaded:.0f} | {len(page.faults)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
