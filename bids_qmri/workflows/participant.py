"""Participant level: plan, run the fits as a nipype workflow, write the pages, say how everybody ended."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bids_qmri import __version__
from bids_qmri.bids.acquisition import Unusable
from bids_qmri.bids.description import write_dataset_description
from bids_qmri.bids.participants import copy_participants
from bids_qmri.errors import QmriError
from bids_qmri.interfaces.job import AcquisitionJob, FitJob, Outcome
from bids_qmri.outputs.tables import unknown_suffixes
from bids_qmri.reports.methods import write_citation
from bids_qmri.reports.records import find_records
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.fit_jobs import not_run, run_jobs
from bids_qmri.workflows.pages import ParticipantOutcome, write_pages
from bids_qmri.workflows.plan import Plan, make_plan, select_participants

log = logging.getLogger("bids_qmri.workflow")

BATCH = 32
"""Participants that are planned, fitted and reported together."""


def run_participants(config: RunConfig) -> list[ParticipantOutcome]:
    """Fit everything that can be fitted, and write one page per participant.

    Parameters
    ----------
    config
        Choices of the run.

    Returns
    -------
    list of ParticipantOutcome
        In the order of the dataset.
    """
    labels = select_participants(config)
    write_dataset_description(
        config.output_dir, config.bids_dir, __version__, config.read.derivatives, unknown_suffixes()
    )
    scratch = replace(config, work_dir=config.work_dir / config.run_id)
    ends: list[ParticipantOutcome] = []
    fits: set[tuple[str, str]] = set()
    # In batches: planning everybody first, or writing pages last, would lose too much when a run dies.
    for first in range(0, len(labels), BATCH):
        batch = labels[first : first + BATCH]
        plans: dict[str, Plan | QmriError] = {label: _plan(scratch, label) for label in batch}
        for plan in plans.values():
            _log_notes(plan)
        fits |= {(fit.model.name, fit.label) for plan in plans.values() for fit in _fits(plan)}
        ends += _run_batch(scratch, plans, after_failure=any(end.status == "failed" for end in ends))
    copy_participants(config.bids_dir, config.output_dir)
    if fits and not config.reports_only:
        write_citation(config.output_dir, sorted(fits))
    shutil.rmtree(scratch.work_dir, ignore_errors=True)
    return ends


def _run_batch(
    config: RunConfig, plans: Mapping[str, Plan | QmriError], *, after_failure: bool
) -> list[ParticipantOutcome]:
    """Fit and report some participants; `after_failure` of others they are left alone if so asked."""
    if config.boilerplate_only:
        return [_end(label, plan, ()) for label, plan in plans.items()]
    if config.reports_only:
        return write_pages(config, [_existing(config, label) for label in plans])
    outcomes: dict[str, list[Outcome]] = {label: [] for label in plans}
    jobs = [job for plan in plans.values() for job in _jobs(plan)]
    failed = after_failure or any(_faults(plan) for plan in plans.values())
    stopped = failed and config.stop_on_first_crash
    done = [not_run(fit) for job in jobs for fit in job.fits] if stopped else run_jobs(config, jobs)
    for outcome in done:
        outcomes[outcome.participant].append(outcome)
    return write_pages(config, [_end(label, plan, outcomes[label]) for label, plan in plans.items()])


def _log_notes(plan: Plan | QmriError) -> None:
    """Say what is assumed about each acquisition, before anything is fitted."""
    for planned in plan.acquisitions if isinstance(plan, Plan) else ():
        for note in planned.acquisition.notes if planned.jobs else ():
            log.warning("%s %s: %s", planned.acquisition.label, planned.acquisition.kind, note)


def _jobs(plan: Plan | QmriError) -> tuple[AcquisitionJob, ...]:
    return plan.jobs if isinstance(plan, Plan) else ()


def _fits(plan: Plan | QmriError) -> list[FitJob]:
    return [fit for job in _jobs(plan) for fit in job.fits]


def _faults(plan: Plan | QmriError) -> list[str]:
    """Return what is wrong with a participant's input, one line each."""
    if not isinstance(plan, Plan):
        return [str(plan)]
    return [_said(item) for item in plan.unusable if item.fault]


def _said(item: Unusable) -> str:
    """Say what is wrong, and with what: an error that names no file is about the acquisition."""
    return str(item.error) if item.error.file else f"{item.label}: {item.error}"


def _existing(config: RunConfig, label: str) -> ParticipantOutcome:
    """Say whether there are maps to report on."""
    if find_records(config.output_dir, label):
        return ParticipantOutcome(label, "ok")
    return ParticipantOutcome(label, "nothing", ("no maps yet to report on",))


def _plan(config: RunConfig, label: str) -> Plan | QmriError:
    try:
        return make_plan(config, label)
    except QmriError as error:
        if config.debug:
            raise
        return error


def _end(label: str, plan: Plan | QmriError, outcomes: Sequence[Outcome]) -> ParticipantOutcome:
    """Join what the plan and the jobs say about one participant."""
    faults = [*_faults(plan), *(outcome.error for outcome in outcomes if outcome.error)]
    unusable = plan.unusable if isinstance(plan, Plan) else ()
    remarks = [f"{item.label}: {item.error}" for item in unusable if not item.fault]
    messages = tuple(dict.fromkeys(faults + remarks))
    if faults:
        return ParticipantOutcome(label, "failed", messages)
    if not _jobs(plan):
        return ParticipantOutcome(label, "nothing", messages or ("nothing to fit for what was asked",))
    return ParticipantOutcome(label, "ok", messages)
