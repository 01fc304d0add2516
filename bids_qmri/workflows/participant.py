"""Participant level: run everybody, and say how they ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bids_qmri import __version__
from bids_qmri.bids.description import write_dataset_description
from bids_qmri.bids.participants import copy_participants
from bids_qmri.completion.lease import kept_alive
from bids_qmri.completion.scratch import own_scratch
from bids_qmri.completion.staging import clear_remains
from bids_qmri.outputs.tables import unknown_suffixes
from bids_qmri.reports.methods import write_citation
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.opening import planned_end
from bids_qmri.workflows.pages import ParticipantOutcome
from bids_qmri.workflows.plan import select_participants
from bids_qmri.workflows.schedule import run_all


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
    clear_remains(config.output_dir)
    ends: dict[str, ParticipantOutcome] = {}
    with own_scratch(config.work_dir, config.run_id) as folder, kept_alive(folder):
        for end in run_all(replace(config, work_dir=folder), labels):
            ends[end.participant] = end
    copy_participants(config.bids_dir, config.output_dir)
    if not config.reports_only:
        _cite(config, ends.values())
    return [ends[label] for label in labels]


def _cite(config: RunConfig, ends: Iterable[ParticipantOutcome]) -> None:
    if fits := {fit for end in ends for fit in end.fits}:
        write_citation(config.output_dir, sorted(fits))


def _methods_alone(config: RunConfig, labels: Sequence[str]) -> list[ParticipantOutcome]:
    """Write the methods text of what would be fitted."""
    ends = [planned_end(config, label) for label in labels]
    _cite(config, ends)
    return ends
