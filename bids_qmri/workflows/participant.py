"""Participant level: run everybody, and say how they ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from bids_qmri import __version__
from bids_qmri.bids.description import write_dataset_description
from bids_qmri.bids.participants import copy_participants
from bids_qmri.completion.lease import kept_alive
from bids_qmri.completion.scratch import own_scratch
from bids_qmri.completion.staging import clear_remains
from bids_qmri.errors import InputError, of_machine
from bids_qmri.outputs.tables import unknown_suffixes
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.looking import Unfinished, look_at
from bids_qmri.workflows.outcome import ParticipantOutcome
from bids_qmri.workflows.selection import select_participants


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

            for end in run_all(own, chain((first,), left), alone=len(labels) == 1):
                ends[end.participant] = end
    return [ends[label] for label in labels]


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
