"""End with a participant: put the results together, write page and record, and switch them into place."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from bids_qmri.bids.derivatives import write_sidecar
from bids_qmri.completion.hashes import hash_of, software
from bids_qmri.completion.record import (
    Completion,
    End,
    FitEntry,
    Request,
    as_fields,
    completion_path,
    hash_for,
    hash_outputs,
    overall,
)
from bids_qmri.completion.staging import assemble, clear, fit_folder, place_pages, switch
from bids_qmri.errors import BusyError, QmriError, of_machine
from bids_qmri.interfaces.job import Outcome
from bids_qmri.interfaces.motion import motion_files
from bids_qmri.interfaces.write import outputs_of
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.opening import InWork, end_of
from bids_qmri.workflows.outcome import ParticipantOutcome
from bids_qmri.workflows.pages import write_page

log = logging.getLogger("bids_qmri.workflow")


def finish_participant(
    config: RunConfig, work: InWork, outcomes: Sequence[Outcome], processes: int = 1
) -> ParticipantOutcome:
    """Put everything of a participant in place; if that fails, everything stays as it was.

    Parameters
    ----------
    config
        Choices of the run.
    work
        What was planned.
    outcomes
        Of its fits.
    processes
        That may draw the page.
    """
    end, in_place = _end(config, work, outcomes), False
    try:
        written = _files_of_fits(work, outcomes)
        fits = work.fits
        machine = {outcome.job for outcome in outcomes if outcome.machine}
        made = [fit for fit in fits if fit.name not in machine]
        # Motion that is not measured now was that of other images than the ones fitted.
        replaced = {name for fit in made for name in motion_files(fit)}
        leave_out = replaced | {name for fit in made for name in outputs_of(fit)}
        if not config.reports_only:
            leave_out |= _of_damaged(work) | _disowned(work)
        root = assemble(work.lease, leave_out, [fit.name for fit in made], replaced)
        end = write_page(config, end, root, processes=processes)
        # Pages alone do not make maps complete of which nothing is known.
        if work.before.requests or not config.reports_only:
            record = _record(config, work, end, written, root, replaced)
            write_sidecar(completion_path(root, work.label), as_fields(record))
        switch(work.lease)
        in_place = True
        place_pages(work.lease)
    except BusyError as error:
        return ParticipantOutcome(work.label, "busy", (str(error),))
    except Exception as error:
        known = of_machine(error) or error
        if config.debug and not isinstance(known, QmriError):
            raise
        log.debug("sub-%s", work.label, exc_info=not isinstance(known, QmriError))
        what = known if isinstance(known, QmriError) else f"{type(error).__name__}: {error}"
        lost = "the page" if in_place else "nothing was put in place, what an earlier run wrote stays"
        return replace(end, status="failed", messages=(*end.messages, f"{lost}: {what}"))
    finally:
        clear(work.lease)
    return end


def _end(config: RunConfig, work: InWork, outcomes: Sequence[Outcome]) -> ParticipantOutcome:
    """Join what the plan and the fits say about a participant."""
    if config.reports_only:
        return ParticipantOutcome(work.label, "ok")
    faults = (*work.faults, *(outcome.error for outcome in outcomes if outcome.error))
    return end_of(work.label, [fit[:2] for fit in work.asked.values()], faults, work.remarks)


def _files_of_fits(work: InWork, outcomes: Sequence[Outcome]) -> dict[str, tuple[str, ...]]:
    """Return what each fit that succeeded has written, relative to the output dataset."""
    found = {}
    for outcome in outcomes:
        folder = fit_folder(work.lease, outcome.job)
        if not outcome.error:
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            found[outcome.job] = tuple(path.relative_to(folder).as_posix() for path in files)
    return found


def _record(
    config: RunConfig,
    work: InWork,
    end: ParticipantOutcome,
    written: dict[str, tuple[str, ...]],
    root: Path,
    replaced: Collection[str],
) -> Completion:
    """Return what is complete now; files that were replaced belong to the fits of this run alone."""
    before, outputs = work.before, hash_outputs(root, work.label)
    earlier = {
        name: replace(entry, files=tuple(file for file in entry.files if file not in replaced))
        for name, entry in before.fits.items()
    }
    kept = {
        name: entry
        for name, entry in earlier.items()
        if not set(entry.files) & work.damaged and set(entry.files) <= outputs.keys()
    }
    new = {
        name: FitEntry(*work.asked[name], hash_for(name, work.inputs), files)
        for name, files in written.items()
    }
    fits = {**kept, **new}
    if config.reports_only:
        return replace(before, fits=fits, outputs=outputs)
    inputs = hash_of(work.inputs)
    made = {name: options for name, (_, _, options) in work.asked.items()}
    requests = dict(before.requests) | {
        work.choice: Request(work.request, inputs, _known(end.status), end.messages, made)
    }
    current = [one for one in requests.values() if one.inputs == inputs]
    return Completion(*overall(current), software(), work.inputs, requests, fits, outputs)


def _known(status: str) -> End:
    return "ok" if status == "ok" else "nothing" if status == "nothing" else "failed"


def _disowned(work: InWork) -> set[str]:
    """Return the quality files of fits that this choice made before and cannot plan now, as inputs changed.

    Their maps stay, for the input may only be away for a while; but nothing vouches for them any more.
    """
    found: set[str] = set()
    before = work.before.requests.get(work.choice)
    for name in () if before is None else before.fits:
        entry = work.before.fits.get(name)
        if entry and name not in work.asked and entry.inputs != hash_for(name, work.inputs):
            log.warning("%s: its input is at fault or gone; nothing vouches for its maps any more", name)
            found |= {file for file in entry.files if "_qc." in file}
    return found


def _of_damaged(work: InWork) -> set[str]:
    """Return the files of fits that are damaged and not made again, which go, and say so."""
    found: set[str] = set()
    for name, entry in work.before.fits.items():
        if set(entry.files) & work.damaged and name not in work.asked:
            log.warning("%s: damaged, and not asked for now: removed; ask for it to have it again", name)
            found |= set(entry.files)
    whole = (entry.files for entry in work.before.fits.values() if not set(entry.files) & work.damaged)
    return found.difference(*whole)
