"""Look at a participant before anything heavy is imported: what is complete and unchanged is left alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from bids_qmri.completion.hashes import hash_inputs
from bids_qmri.completion.record import (
    Completion,
    DamagedRecordError,
    Request,
    completion_path,
    listed,
    read_completion,
)
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.outcome import ParticipantOutcome
from bids_qmri.workflows.request import choice_hash, request_hash

log = logging.getLogger("bids_qmri.workflow")


@dataclass(frozen=True, eq=False)
class Unfinished:
    """A participant of whom something is left to do.

    Parameters
    ----------
    label
        Of the participant, without ``sub-``.
    choice, request
        Hash of the choice of models and estimators, and of all that the run asks for.
    inputs
        Hash by file.
    """

    label: str
    choice: str
    request: str
    inputs: Mapping[str, str]


def look_at(config: RunConfig, label: str) -> Unfinished | ParticipantOutcome:
    """Say that a participant is complete and unchanged, or what is known of one who is not.

    Parameters
    ----------
    config
        Choices of the run.
    label
        Of the participant, without ``sub-``.

    Raises
    ------
    OSError
        A dataset's folder cannot be read.
    """
    choice, request = choice_hash(config), request_hash(config)
    inputs = hash_inputs({"raw": config.bids_dir, **config.read.derivatives}, label)
    before, damaged = found_before(config, label)
    again = config.force or config.reports_only or lacks_dicom(config, label)
    if not again and before.answers(choice, request, inputs, damaged):
        return _unchanged(label, before, before.requests[choice])
    _say_why(label, before, inputs, damaged)
    return Unfinished(label, choice, request, inputs)


def lacks_dicom(config: RunConfig, label: str) -> bool:
    """Tell whether DICOM files are asked for, which records do not know, and a participant has none."""
    return config.dicom is not None and not (config.dicom.folder / f"sub-{label}").is_dir()


def found_before(config: RunConfig, label: str, *, aloud: bool = True) -> tuple[Completion, frozenset[str]]:
    """Return the record of earlier runs, and what is damaged of it; an empty one if there is none."""
    try:
        found = read_completion(config.output_dir, label)
    except DamagedRecordError as error:
        path = completion_path(config.output_dir, label)
        if aloud:
            log.warning("sub-%s: %s cannot be read (%s): fitted again", label, path, error)
        found = None
    if found is None:
        return Completion("failed"), frozenset()
    return found, frozenset(found.damaged(config.output_dir))


def _unchanged(label: str, before: Completion, asked: Request) -> ParticipantOutcome:
    log.info("sub-%s: complete, and unchanged since; not fitted again (--force does)", label)
    fits = tuple((before.fits[name].model, before.fits[name].estimator) for name in asked.fits)
    return ParticipantOutcome(label, asked.end, asked.messages, fits, unchanged=True)


def _say_why(label: str, before: Completion, inputs: Mapping[str, str], damaged: frozenset[str]) -> None:
    """Say what is no longer as an earlier run left it."""
    if damaged:
        log.warning("sub-%s: gone or damaged since it was written: %s", label, listed(damaged))
    if before.inputs and before.inputs != inputs:
        names = {name for name, _ in set(before.inputs.items()) ^ set(inputs.items())}
        log.info("sub-%s: changed since the last run: %s", label, listed(names))
