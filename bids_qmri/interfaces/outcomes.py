"""What became of fits, on disk: a record per fit, there only if the fit ended."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from bids_qmri.interfaces.fit import run_acquisition
from bids_qmri.interfaces.job import AcquisitionJob, FitJob, Outcome


class StoppedError(RuntimeError):
    """A fit failed, and its failure is to end the run."""


def run_and_record(job: AcquisitionJob) -> None:
    """Run the fits of an acquisition, and record the outcome of each as it ends.

    Raises
    ------
    StoppedError
        If a fit fails whose failure is to end the run.
    """
    for fit, outcome in zip(job.fits, run_acquisition(job), strict=True):
        write_outcome(fit, outcome)
        if outcome.error and fit.stop_on_error:
            raise StoppedError(outcome.error)


def write_outcome(job: FitJob, outcome: Outcome) -> None:
    """Record what became of a job."""
    record = record_file(job)
    record.parent.mkdir(parents=True, exist_ok=True)
    part = record.with_suffix(".part")
    part.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    part.replace(record)


def record_file(job: FitJob) -> Path:
    """Return where the outcome of a job is recorded."""
    return job.work_dir / "outcomes" / f"{job.name.replace(' ', '_')}.json"


def read_outcome(job: FitJob, *, without: str) -> Outcome:
    """Return what became of a job; `without` says why one that left no record did not end."""
    record = record_file(job)
    if record.is_file():
        fields = json.loads(record.read_text(encoding="utf-8"))
        return Outcome(**{**fields, "notes": tuple(fields["notes"])})
    return Outcome(job.participant, job.name, error=f"{job.name}: {without.rstrip('.')}.", machine=True)
