"""Tiny datasets of known truth with the jobs that a run would plan for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import synth
from runs import planned_fits, run_config

from bids_qmri.interfaces.job import FitJob

PlanJobs = Callable[..., tuple[FitJob, ...]]


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path / "bids")


@pytest.fixture
def jobs(bids: Path, tmp_path: Path) -> PlanJobs:
    """Return a function that plans sub-01 with choices of a run."""

    def plan(output: str = "out", **choices: object) -> tuple[FitJob, ...]:
        every = {"estimators": ("lsq",)} | choices
        return planned_fits(run_config(bids, tmp_path / output, tmp_path / "work", **every))

    return plan
