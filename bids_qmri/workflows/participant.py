"""Participant level: run everybody, and say how they ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from bids_qmri import __version__
from bids_qmri.bids.description import write_dataset_description
from bids_qmri.bids.participants import copy_participants
from bids_qmri.completion.lease import kept_alive
from bids_qmri.completion.scratch import own_scratch
from bids_qmri.completion.staging import clear_remains
from bids_qmri.completion.standing import labels_of
from bids_qmri.errors import InputError, of_machine
from bids_qmri.outputs.tables import unknown_suffixes
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.looking import Unfinished, look_at
from bids_qmri.workflows.outcome import ParticipantOutcome
from bids_qmri.workflows.selection import select_participants

log = logging.getLogger("bids_qmri.workflow")

LARGEST_INDEX = 300
"""Participants up to which every run writes the index of the output folder."""


def run_participants(config: RunConfig) -> list[ParticipantOutcome]:
    """Fit everything that can be fitted and is not complete, and write one page per participant.

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
    if config.boilerplate_only:
        return _methods_alone(config, labels)
    clear_remains(config.output_dir, config.run_id)
    ends: dict[str, ParticipantOutcome] = {}
    with own_scratch(config.work_dir, config.run_id) as folder, kept_alive(folder):
        own = replace(config, work_dir=folder)
        left = _left(own, labels, ends)
        if (first := next(left, None)) is not None:
            # Imported only now: of a complete study nothing but hashes is computed.
            from bids_qmri.workflows.schedule import run_all

            started = time.monotonic()
            for end in run_all(own, chain((first,), left), alone=len(labels) == 1):
                ends[end.participant] = end
                _say_progress(end, len(ends), len(labels), time.monotonic() - started)
    return [ends[label] for label in labels]


def _say_progress(end: ParticipantOutcome, done: int, total: int, seconds: float) -> None:
    """Say who has ended, and how long the rest will take if it goes on like that."""
    rest = f", about {duration(seconds / done * (total - done))} left" if done < total else ""
    words = {"ok": "complete", "nothing": "without fits"}.get(end.status, end.status)
    log.info("sub-%s: %s (%d of %d, %s%s)", end.participant, words, done, total, duration(seconds), rest)


def duration(seconds: float) -> str:
    """Return a time as people say it: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def write_about(config: RunConfig, ends: Sequence[ParticipantOutcome]) -> None:
    """Write what is about the whole dataset: who took part, and what to cite.

    Parameters
    ----------
    config
        Choices of the run.
    ends
        How participants ended.

    Raises
    ------
    OSError
        Nothing can be written there.
    """
    if not config.boilerplate_only:
        copy_participants(config.bids_dir, config.output_dir)
    if not config.reports_only:
        _cite(config, ends)
    changed = not config.boilerplate_only and any(not end.unchanged for end in ends)
    # Of a study that is run in thousands of jobs, the group level writes the index once.
    if changed and len(labels_of(config.output_dir)) <= LARGEST_INDEX:
        from bids_qmri.reports.index import write_index

        write_index(config.output_dir)


def _left(
    config: RunConfig, labels: Sequence[str], ends: dict[str, ParticipantOutcome]
) -> Iterator[Unfinished]:
    """Yield participants of whom something is left to do, and note how the others ended."""
    for label in labels:
        try:
            looked = look_at(config, label)
        except (OSError, InputError) as error:
            looked = ParticipantOutcome(label, "failed", (str(of_machine(error) or error),))
        if isinstance(looked, Unfinished):
            yield looked
        else:
            ends[label] = looked


def _cite(config: RunConfig, ends: Iterable[ParticipantOutcome]) -> None:
    ends = list(ends)
    if all(end.unchanged for end in ends):
        return  # what was cited then still holds
    from bids_qmri.reports.methods import write_citation

    if fits := {fit for end in ends for fit in end.fits}:
        write_citation(config.output_dir, sorted(fits))


def _methods_alone(config: RunConfig, labels: Sequence[str]) -> list[ParticipantOutcome]:
    """Return how everybody would end, which is all that a methods text needs."""
    from bids_qmri.workflows.opening import planned_end

    return [planned_end(config, label) for label in labels]
