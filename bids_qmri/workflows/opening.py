"""Begin with a participant: leave what is complete or in work, plan the rest, and lay hold of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bids_qmri.bids.acquisition import Unusable
from bids_qmri.completion.lease import Lease, take
from bids_qmri.completion.record import Completion
from bids_qmri.completion.staging import fit_folder, prepare
from bids_qmri.errors import BusyError, QmriError, of_machine
from bids_qmri.interfaces.job import AcquisitionJob, FitJob
from bids_qmri.reports.records import find_records
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.looking import Unfinished, found_before, lacks_dicom
from bids_qmri.workflows.outcome import ParticipantOutcome
from bids_qmri.workflows.plan import Plan, make_plan
from bids_qmri.workflows.request import fit_hash

log = logging.getLogger("bids_qmri.workflow")


@dataclass(frozen=True, eq=False)
class InWork:
    """A participant that this run holds.

    Parameters
    ----------
    lease
        The right to.
    choice, request
        Hash of the choice of models and estimators, and of all that the run asks for.
    inputs
        Hash by file.
    before
        Completion record as it was found.
    damaged
        Outputs that are gone or not what was written.
    asked
        All fits that were asked for, by name: model, estimator and hash of options.
    jobs
        Those that are not complete, by acquisition.
    faults, remarks
        What the plan found wrong, and what it says beside.
    """

    lease: Lease
    choice: str
    request: str
    inputs: Mapping[str, str]
    before: Completion
    damaged: frozenset[str]
    asked: Mapping[str, tuple[str, str, str]]
    jobs: tuple[AcquisitionJob, ...]
    faults: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def label(self) -> str:
        """Label of the participant, without ``sub-``."""
        return self.lease.participant

    @property
    def fits(self) -> list[FitJob]:
        """Fits that are made."""
        return [fit for job in self.jobs for fit in job.fits]


def open_participant(config: RunConfig, looked: Unfinished) -> InWork | ParticipantOutcome:
    """Take a participant in work, or say why there is nothing to do.

    Parameters
    ----------
    config
        Choices of the run.
    looked
        The participant.
    """
    label = looked.label
    if config.reports_only and not find_records(config.output_dir, label):
        return ParticipantOutcome(label, "nothing", ("no maps yet to report on",))
    try:
        lease = take(config.output_dir, label, config.run_id)
    except BusyError as error:
        return ParticipantOutcome(label, "busy", (str(error),))
    except OSError as error:
        return ParticipantOutcome(label, "failed", (str(of_machine(error)),))
    try:
        prepare(lease)
        # Here, for another run may have ended since the first look.
        before, damaged = found_before(config, label, aloud=False)
        work = InWork(lease, looked.choice, looked.request, looked.inputs, before, damaged, {}, (), (), ())
        return _planned(config, work)
    except Exception as error:
        lease.release()
        if config.debug:
            raise
        log.debug("sub-%s", label, exc_info=not isinstance(of_machine(error) or error, QmriError))
        return ParticipantOutcome(label, "failed", (_line(error),))


def planned_end(config: RunConfig, label: str) -> ParticipantOutcome:
    """Return how a participant would end if all fits went well; nothing is fitted or written."""
    try:
        plan = make_plan(config, label)
    except Exception as error:
        if config.debug:
            raise
        return ParticipantOutcome(label, "failed", (_line(error),))
    fits = [fit for job in plan.jobs for fit in job.fits]
    faults, remarks = _said_of(plan)
    return end_of(label, [(fit.model.name, fit.label) for fit in fits], faults, remarks)


def end_of(
    label: str, fits: Iterable[tuple[str, str]], faults: Sequence[str], remarks: Sequence[str]
) -> ParticipantOutcome:
    """Return how a participant ended, from the model and estimator of all fits, and what is said of them."""
    asked = tuple(dict.fromkeys(fits))
    messages = tuple(dict.fromkeys((*faults, *remarks)))
    said = tuple(remark for remark in messages if remark not in faults)
    if faults:
        return ParticipantOutcome(label, "failed", messages, asked, remarks=said)
    if not asked:
        nothing = messages or ("nothing to fit for what was asked",)
        return ParticipantOutcome(label, "nothing", nothing, remarks=said)
    return ParticipantOutcome(label, "ok", messages, asked, remarks=said)


def _planned(config: RunConfig, work: InWork) -> InWork:
    """Add what is to be fitted, and what cannot be."""
    if config.reports_only:
        return work
    plan = make_plan(config, work.label)
    _log_notes(plan)
    faults, remarks = _said_of(plan)
    asked = {
        fit.name: (fit.model.name, fit.label, fit_hash(config, fit.model.name, fit.label))
        for job in plan.jobs
        for fit in job.fits
    }
    return replace(
        work,
        asked=asked,
        jobs=tuple(filter(None, (_unfinished(config, work, asked, job) for job in plan.jobs))),
        faults=faults,
        remarks=remarks,
    )


def _unfinished(
    config: RunConfig, work: InWork, asked: Mapping[str, tuple[str, str, str]], job: AcquisitionJob
) -> AcquisitionJob | None:
    """Return the fits of an acquisition that are not complete, None if all are."""
    fits = []
    for fit in job.fits:
        again = config.force or lacks_dicom(config, work.label)
        if not again and work.before.holds(fit.name, asked[fit.name][2], work.inputs, work.damaged):
            log.info("%s: complete, and unchanged since; not fitted again (--force does)", fit.name)
        else:
            fits.append(replace(fit, stage=fit_folder(work.lease, fit.name)))
    return AcquisitionJob(tuple(fits)) if fits else None


def _log_notes(plan: Plan) -> None:
    """Say what is assumed about each acquisition, before anything is fitted."""
    for planned in plan.acquisitions:
        for note in planned.acquisition.notes if planned.jobs else ():
            log.warning("%s %s: %s", planned.acquisition.label, planned.acquisition.kind, note)


def _said_of(plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is wrong, and what is only said, of files that cannot be fitted."""
    faults = tuple(_said(item) for item in plan.unusable if item.fault)
    return faults, tuple(f"{item.label}: {item.error}" for item in plan.unusable if not item.fault)


def _said(item: Unusable) -> str:
    """Say what is wrong, and with what: an error that names no file is about the acquisition."""
    return str(item.error) if item.error.file else f"{item.label}: {item.error}"


def _line(error: BaseException) -> str:
    """Return what is said of an error: its own words, or its kind and the file that it names."""
    known = of_machine(error) or error
    return (
        str(known) if isinstance(known, QmriError) else " ".join(f"{type(error).__name__}: {error}".split())
    )
