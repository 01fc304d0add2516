"""Runs of known choices, and single fits of them, for tests of several packages."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from bids_qmri.bids.acquisition import ReadOptions
from bids_qmri.interfaces.fit import run_acquisition
from bids_qmri.interfaces.job import AcquisitionJob, DicomOutput, FitJob, Outcome
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.plan import Plan, make_plan


def run_config(bids_dir: Path, output_dir: Path, work_dir: Path, **choices: Any) -> RunConfig:
    """Return the choices of a run; those that change how files are read are given beside the others."""
    read = {item.name for item in fields(ReadOptions)}
    options = ReadOptions(**{name: choices.pop(name) for name in read & choices.keys()})
    if "dicom" in choices:
        templates, floating = (
            choices.pop(f"dicom_{name}", None) for name in ("templates", "parametric_maps")
        )
        choices["dicom"] = DicomOutput(
            choices["dicom"], templates, bool(floating), choices.get("run_id", "test")
        )
    every = {"run_id": "test", "levels": ("participant",), "read": options} | choices
    return RunConfig(bids_dir=bids_dir, output_dir=output_dir, work_dir=work_dir, **every)


def fits_of(plan: Plan) -> tuple[FitJob, ...]:
    """Return all fits of a plan, in order."""
    return tuple(fit for job in plan.jobs for fit in job.fits)


def planned_fits(config: RunConfig, participant: str = "01") -> tuple[FitJob, ...]:
    """Return the fits that a run plans for a participant."""
    return fits_of(make_plan(config, participant))


def run_fit(job: FitJob) -> Outcome:
    """Run one fit by itself."""
    [outcome] = run_acquisition(AcquisitionJob((job,)))
    return outcome
