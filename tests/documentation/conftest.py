"""Pages and the demonstration that their code runs on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# docs/run_blocks.py, and helpers beside this file
sys.path[:0] = [str(ROOT / "docs"), str(Path(__file__).parent)]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds ``demo/`` with its dataset, masks and maps."""
    from run_blocks import make_demo

    folder = tmp_path_factory.mktemp("pages")
    make_demo(folder)
    return folder
