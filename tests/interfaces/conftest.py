"""Tiny datasets of known truth with the jobs that a run would plan for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import synth

from bids_qmri.interfaces.job import FitJob
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.plan import make_plan

PlanJobs = Callable[..., tuple[FitJob, ...]]


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path / "bids")


@pytest.fixture
def jobs(bids: Path, tmp_path: Path) -> PlanJobs:
    """Return a function that plans sub-01 with choices of a run."""

    def plan(output: str = "out", **choices: object) -> tuple[FitJob, ...]:
        folders = {"bids_dir": bids, "output_dir": tmp_path / output, "work_dir": tmp_path / "work"}
        every = {"methods": ("lsq",), "run_id": "test", "levels": ("participant",)} | folders | choices
        return make_plan(RunConfig(**every), "01").jobs  # type: ignore[arg-type]

    return plan
