"""Which piece of work comes next: participants are opened, their fits made, and each is ended by itself."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from bids_qmri.completion.staging import clear
from bids_qmri.errors import of_machine
from bids_qmri.interfaces.job import AcquisitionJob, FitJob, Outcome
from bids_qmri.interfaces.outcomes import (
    StoppedError,
    read_outcome,
    record_file,
    run_and_record,
    write_outcome,
)
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.finish import finish_participant
from bids_qmri.workflows.fit_jobs import AFTER_FAILURE, run_workflow
from bids_qmri.workflows.looking import Unfinished
from bids_qmri.workflows.memory import available_memory_gb, planned_memory_gb
from bids_qmri.workflows.opening import InWork, open_participant
from bids_qmri.workflows.outcome import ParticipantOutcome
from bids_qmri.workflows.workers import KilledError, Workers

log = logging.getLogger("bids_qmri.workflow")

BATCH = 32
"""Participants that are opened together where nipype runs their fits."""

BASE_OF_A_PAGE_GB = 0.3


def run_all(config: RunConfig, people: Iterator[Unfinished], *, alone: bool) -> Iterator[ParticipantOutcome]:
    """Run participants one by one, or several at a time; yield how each ended.

    Parameters
    ----------
    config
        Choices of the run; `work_dir` belongs to this run alone.
    people
        Participants, who are looked at one by one.
    alone
        Whether it is one participant only.
    """
    if config.plugin or config.write_graph:
        yield from _by_nipype(config, people)
    else:
        yield from _Schedule(config, people, alone).run()


def _by_nipype(config: RunConfig, people: Iterator[Unfinished]) -> Iterator[ParticipantOutcome]:
    failed = False
    while batch := list(islice(people, BATCH)):
        opened = [open_participant(config, one) for one in batch]
        works = [one for one in opened if isinstance(one, InWork)]
        jobs = [job for work in works for job in work.jobs]
        failed |= any(_has_faults(one) for one in opened)
        why = AFTER_FAILURE if failed and config.stop_on_first_crash else run_workflow(config, jobs)
        for one in opened:
            if isinstance(one, ParticipantOutcome):
                yield one
                continue
            end = finish_participant(config, one, _outcomes(one, why), config.nprocs)
            failed |= end.status == "failed"
            _let_go(config, one)
            yield end


def _has_faults(opened: InWork | ParticipantOutcome) -> bool:
    return bool(opened.faults) if isinstance(opened, InWork) else opened.status == "failed"


def _outcomes(work: InWork, why: str) -> list[Outcome]:
    """Return what became of the fits of a participant; `why` says why some left no record."""
    return [read_outcome(fit, without=why) for fit in work.fits]


def _let_go(config: RunConfig, work: InWork) -> None:
    work.lease.release()
    shutil.rmtree(config.work_dir / f"sub-{work.label}", ignore_errors=True)


class _Schedule:
    """Participants that are open, and the work that is queued for them."""

    def __init__(self, config: RunConfig, people: Iterator[Unfinished], alone: bool) -> None:
        self._config, self._people = config, people
        self._memory = config.memory_gb or available_memory_gb()
        self._workers = Workers(config.nprocs, self._memory, config.debug)
        self._alone = alone
        self._works: dict[str, InWork] = {}
        self._left: dict[str, set[int]] = {}
        self._why: dict[str, str] = {}
        self._again: set[str] = set()
        self._stopped = False

    def run(self) -> Iterator[ParticipantOutcome]:
        """Yield how each participant ended."""
        workers = self._workers
        left = True
        while left or workers.unfinished:
            # Some are opened ahead, so that no process waits for a plan.
            ahead = 1 if workers.processes == 1 else 2 * workers.processes
            while left and workers.unfinished < ahead:
                looked = next(self._people, None)
                if looked is None:
                    left = False
                    break
                opened = open_participant(self._config, looked)
                if isinstance(opened, ParticipantOutcome):
                    self._stopped |= opened.status == "failed" and self._config.stop_on_first_crash
                    yield opened
                else:
                    self._begin(opened)
            if workers.unfinished:
                yield from self._ended(*workers.wait())

    def _begin(self, work: InWork) -> None:
        threads = threads_of_each(self._config, len(work.jobs) if self._alone else None)
        work = replace(work, jobs=tuple(_with_threads(job, threads) for job in work.jobs))
        self._works[work.label], self._left[work.label] = work, set(range(len(work.jobs)))
        self._stopped |= bool(work.faults) and self._config.stop_on_first_crash
        if self._alone and len(work.jobs) <= 1:
            # Nothing to share out: no further processes are started.
            self._workers.processes = 1
        if self._stopped:
            self._why[work.label] = AFTER_FAILURE
            self._left[work.label] = set()
        for place in self._left[work.label]:
            self._submit(work.label, place, work.jobs[place])
        if not self._left[work.label]:
            self._finish(work.label)

    def _submit(self, label: str, place: int, job: AcquisitionJob) -> None:
        for fit in job.fits:
            record_file(fit).unlink(missing_ok=True)
        log.info("%s: %s", job.name, ", ".join(f"{fit.model.name} {fit.label}" for fit in job.fits))
        key = ("fit", label, place, job)
        self._workers.submit(key, run_and_record, job, memory_gb=planned_memory_gb(job))

    def _finish(self, label: str) -> None:
        work = self._works[label]
        outcomes = _outcomes(work, self._why.get(label, "not run"))
        # The only participant there is may use every process for its page.
        processes = self._config.nprocs if self._alone else 1
        self._workers.submit(
            ("end", label),
            finish_participant,
            self._config,
            work,
            outcomes,
            processes,
            memory_gb=BASE_OF_A_PAGE_GB,
        )

    def _ended(self, key: Any, result: Any) -> Iterator[ParticipantOutcome]:
        label = key[1]
        work = self._works[label]
        if key[0] == "end":
            if isinstance(result, KilledError) and label not in self._again:
                self._again.add(label)
                self._finish(label)
                return
            clear(work.lease)
            _let_go(self._config, work)
            # What is known of thousands of participants must not pile up.
            del self._works[label], self._left[label]
            if not isinstance(result, ParticipantOutcome):
                line = f"the page and the record could not be written ({_said(result)})"
                result = ParticipantOutcome(label, "failed", (line,))
            self._stopped |= result.status == "failed" and self._config.stop_on_first_crash
            yield result
            return
        place, job = key[2:]
        if isinstance(result, KilledError):
            job = self._after_kill(job, result)
            if job.fits:
                self._submit(label, place, job)
                return
        elif isinstance(result, Exception):
            stopped = isinstance(result, StoppedError)
            self._stopped |= stopped
            self._why[label] = AFTER_FAILURE if stopped else _said(result)
        self._left[label].discard(place)
        if not self._left[label]:
            self._finish(label)

    def _after_kill(self, job: AcquisitionJob, killed: KilledError) -> AcquisitionJob:
        """Record which fit a killed process was at, and return the fits that it had not begun."""
        unended = [fit for fit in job.fits if not record_file(fit).is_file()]
        for fit in unended[:1]:
            write_outcome(fit, self._killed(fit, job, killed))
            if fit.stage is not None:
                shutil.rmtree(fit.stage, ignore_errors=True)
        return replace(job, fits=tuple(unended[1:]))

    def _killed(self, fit: FitJob, job: AcquisitionJob, killed: KilledError) -> Outcome:
        used = "" if killed.used_gb is None else f"it had used {killed.used_gb:.2f} GB, "
        limit = "no limit is known" if self._memory is None else f"the limit is {self._memory:.2f} GB"
        line = (
            f"{fit.name}: {killed.how}, most likely for lack of memory ({used}"
            f"{planned_memory_gb(job):.2f} GB were planned, {limit}); "
            "fix: use fewer --nprocs, state the memory there is with --mem, or give the run more."
        )
        return Outcome(fit.participant, fit.name, line, machine=True)


def threads_of_each(config: RunConfig, jobs: int | None) -> int:
    """Return the threads of one process: as asked, or what the processes of a run leave to each.

    Parameters
    ----------
    config
        Choices of the run.
    jobs
        How many acquisitions of its only participant are fitted; None: of several participants.
    """
    if config.omp_nthreads is not None:
        return config.omp_nthreads
    return 1 if jobs is None else config.nprocs // min(config.nprocs, max(jobs, 1))


def _with_threads(job: AcquisitionJob, threads: int) -> AcquisitionJob:
    return AcquisitionJob(tuple(replace(fit, threads=threads) for fit in job.fits))


def _said(error: BaseException) -> str:
    if isinstance(error, KilledError):
        return error.how
    known = of_machine(error)
    return str(known) if known else " ".join(f"{type(error).__name__}: {error}".split())
