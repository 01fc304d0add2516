"""Build a small dataset of known truth, run the command on it, and say what came out and what was said."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest

LONGEST = 120
"""Seconds a run may take."""


@dataclass(frozen=True)
class Ran:
    """One finished run: the exit code, all it printed, and its output folder."""

    code: int
    printed: str
    folder: Path

    def maps(self, pattern: str) -> list[Path]:
        """Return the images of the output that match."""
        return sorted(self.folder.rglob(pattern + ".nii.gz"))

    def halves(self, pattern: str) -> tuple[float, float]:
        """Return the medians of the one map that matches, in the lower and the upper half of the body."""
        [path] = self.maps(pattern)
        data = np.asarray(nibabel.load(path).dataobj, dtype=np.float64)
        return float(np.nanmedian(data[2:6, 2:10])), float(np.nanmedian(data[6:10, 2:10]))

    def sidecar(self, pattern: str) -> dict[str, object]:
        """Return the sidecar of the one map that matches."""
        [path] = sorted(self.folder.rglob(pattern + ".json"))
        return dict(json.loads(path.read_text()))

    def missing(self, *words: str) -> list[str]:
        """Return where some words (regular expressions, all in one line) are not said: log, page, sidecars.

        Sidecars count where there are maps; it suffices that one kind of map says it.
        """

        def says(text: str) -> bool:
            return any(all(re.search(word, line, re.I) for word in words) for line in text.splitlines())

        logs = "\n".join(path.read_text() for path in self.folder.glob("logs/*.log"))
        lacking = [] if says(logs) else ["log"]
        pages = [path.read_text() for path in self.folder.glob("sub-*.html")]
        if pages and not any(says(page) for page in pages):
            lacking.append("page")
        sidecars = [
            path.read_text()
            for path in self.folder.glob("sub-*/*/*.json")
            if path.with_suffix(".nii.gz").exists()
        ]
        if sidecars and not any(says(text) for text in sidecars):
            lacking.append("sidecar")
        return lacking


def cases_folder() -> Path:
    """Return the folder of cases, or skip with the reason."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "cases"
    folder = Path(os.environ.get("BIDS_QMRI_CASES", beside))
    if not folder.is_dir():
        pytest.skip(f"cases not found at {folder}; set BIDS_QMRI_CASES to their folder")
    return folder


def run_command(bids: Path, folder: Path, *options: str) -> Ran:
    """Run the command as a person would."""
    out = folder / "maps"
    arguments = [str(bids), str(out), "participant", "-w", str(folder / "work"), *options]
    done = subprocess.run(
        [sys.executable, "-m", "bids_qmri", *arguments], capture_output=True, text=True, timeout=LONGEST
    )
    return Ran(done.returncode, done.stdout + done.stderr, out)


def build_case(case: Path, folder: Path) -> None:
    """Let a case write its dataset."""
    environment = {**os.environ, "PYTHONPATH": str(case.parent)}
    subprocess.run([sys.executable, str(case), str(folder)], env=environment, check=True, timeout=LONGEST)
