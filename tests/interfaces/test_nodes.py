"""What became of a job reaches the end of the run through its record, whoever ran it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import synth
from runs import run_fit

from bids_qmri.interfaces import outcomes
from bids_qmri.interfaces.job import AcquisitionJob, FitJob, Outcome
from bids_qmri.interfaces.nodes import FitAcquisition
from bids_qmri.interfaces.outcomes import read_outcome, record_file

from .conftest import PlanJobs


@pytest.fixture
def job(bids: Path, jobs: PlanJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FitJob:
    synth.add_vfa(bids)
    monkeypatch.chdir(tmp_path)
    return jobs(stop_on_first_crash=True)[0]


def returning(monkeypatch: pytest.MonkeyPatch, **fields: object) -> Outcome:
    outcome = Outcome("01", "sub-01 vfa lsq", **fields)  # type: ignore[arg-type]
    monkeypatch.setattr(outcomes, "run_acquisition", lambda job: iter([outcome]))
    return outcome


@pytest.mark.parametrize("notes", [(), ("mask was automatic", 'quotes " and ü')])
def test_the_record_holds_the_whole_outcome(
    job: FitJob, monkeypatch: pytest.MonkeyPatch, notes: tuple[str, ...]
) -> None:
    outcome = returning(monkeypatch, notes=notes)
    FitAcquisition(job=AcquisitionJob((job,))).run()
    assert read_outcome(job, without="") == outcome


def test_a_failure_that_stops_the_run_is_recorded_before_it_does(
    job: FitJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = returning(monkeypatch, error="FlipAngle is missing.")
    with pytest.raises(RuntimeError, match="FlipAngle is missing"):
        FitAcquisition(job=AcquisitionJob((job,))).run()
    assert read_outcome(job, without="") == outcome


def test_a_job_without_a_record_failed_for_the_given_reason(job: FitJob) -> None:
    outcome = read_outcome(job, without="its process was ended from outside")
    assert outcome.error == "sub-01 vfa lsq: its process was ended from outside."


def test_no_two_jobs_share_a_record(bids: Path, jobs: PlanJobs) -> None:
    synth.add_vfa(bids)
    synth.add_ivim(bids)
    synth.add_dce(bids)
    planned = jobs(estimators=("lsq", "mle", "bayes", "dipy"), models=("vfa", "ivim", "tofts", "etofts"))
    assert len(planned) > 8
    assert len({record_file(job) for job in planned}) == len(planned)


def test_a_node_writes_what_the_plain_function_writes(bids: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    synth.add_vfa(bids)
    [here], [there] = jobs("here"), jobs("there")
    assert not run_fit(here).error
    FitAcquisition(job=pickle.loads(pickle.dumps(AcquisitionJob((there,))))).run(cwd=os.fspath(tmp_path))
    maps = [{p.name: p.read_bytes() for p in j.output_dir.rglob("*.nii.gz")} for j in (here, there)]
    assert len(maps[0]) > 3
    assert maps[0] == maps[1]
