"""A browser of the system without a network, and pages of a small study to look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 120_000
"""Milliseconds; a shared machine may be slow."""


@dataclass
class Visit:
    """An open page, and what it complained of or asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong and nothing but local files was asked for."""
        return not self.complaints and all(url.startswith(("file:", "data:")) for url in self.requests)


Visitor = Callable[..., Visit]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start the system's Chromium, or skip with the reason why pages cannot be looked at."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox"], timeout=PATIENCE, env={**os.environ, "DISPLAY": ""}
        )
        yield chromium
        chromium.close()


def opened(browser: Any, path: Path, width: int, **options: Any) -> Visit:
    """Open a page from the disk with the network cut."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
    context.set_default_timeout(PATIENCE)
    seen = Visit(context.new_page())
    seen.page.on("console", lambda message: seen.complaints.append(f"{message.type}: {message.text}"))
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.on("dialog", lambda dialog: seen.complaints.append(f"dialog: {dialog.message}"))
    seen.page.on("requestfailed", lambda request: seen.complaints.append(f"failed: {request.url[:200]}"))
    seen.page.on("request", lambda request: seen.requests.append(request.url[:200]))
    seen.page.goto(path.as_uri())
    return seen


@pytest.fixture
def visit(browser: Any) -> Iterator[Visitor]:
    """Return a function that opens a page from the disk with the network cut."""
    seen: list[Visit] = []

    def open_page(path: Path, width: int = 1280, **options: Any) -> Visit:
        seen.append(opened(browser, path, width, **options))
        return seen[-1]

    yield open_page
    for one in seen:
        one.page.context.close()


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of the demonstration's participants, fitted coarsely by two estimators."""
    from bids_qmri.cli.run import main
    from bids_qmri.demo.dataset import write_dataset, write_masks

    folder = tmp_path_factory.mktemp("study")
    write_dataset(folder / "bids")
    write_masks(folder / "masks")
    options = ["-d", f"masks={folder / 'masks'}", "-w", str(folder / "work"), "--nprocs", "1", "--sloppy"]
    models = ["--models", "vfa", "ivim", "dti", "--estimators", "lsq", "ncde"]
    assert main([str(folder / "bids"), str(folder / "out"), "participant", "group", *options, *models]) == 0
    return folder / "out"


@pytest.fixture
def subject(study: Path, visit: Visitor) -> Visit:
    """Return the open page of a participant."""
    return visit(study / "sub-abdomen01.html")
