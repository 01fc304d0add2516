"""Fixtures that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real and reference data, or skip with the reason why it cannot be tested."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("BIDS_QMRI_SHARED", beside))
    if not folder.is_dir():
        pytest.skip(f"reference data not found at {folder}; set BIDS_QMRI_SHARED to its folder")
    return folder
