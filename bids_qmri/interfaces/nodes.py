"""nipype's view of the work: one interface per step, each a call of a plain function."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from nipype.interfaces.base import BaseInterfaceInputSpec, SimpleInterface, TraitedSpec, traits

from bids_qmri.interfaces.fit import run_fit
from bids_qmri.interfaces.job import FitJob, Outcome


class _FitInputSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    job = traits.Any(mandatory=True, desc="a FitJob")


class _FitOutputSpec(TraitedSpec):  # type: ignore[misc]
    record = traits.Str(desc="file that says what became of the job")


class Fit(SimpleInterface):  # type: ignore[misc]
    """Run one `FitJob` and leave a record of its outcome beside the other scratch files.

    The record, not nipype's own result, is what the run reads at the end: it is there only if the job ended.
    """

    input_spec = _FitInputSpec
    output_spec = _FitOutputSpec

    def _run_interface(self, runtime):  # type: ignore[no-untyped-def]
        job: FitJob = self.inputs.job
        record = record_file(job)
        record.parent.mkdir(parents=True, exist_ok=True)
        outcome = run_fit(job)
        record.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
        if outcome.error and job.stop_on_error:
            raise RuntimeError(outcome.error)
        self._results["record"] = str(record)
        return runtime


def record_file(job: FitJob) -> Path:
    """Return where the outcome of a job is recorded."""
    return job.work_dir / "outcomes" / f"{job.name.replace(' ', '_')}.json"


def read_outcome(job: FitJob, *, without: str) -> Outcome:
    """Return what became of a job; `without` says why one that left no record did not end."""
    record = record_file(job)
    if record.is_file():
        fields = json.loads(record.read_text(encoding="utf-8"))
        return Outcome(**{**fields, "notes": tuple(fields["notes"])})
    return Outcome(job.participant, job.name, error=f"{job.name}: {without}.")
