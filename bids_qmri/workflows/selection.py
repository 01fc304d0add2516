"""Whom a run is about."""

from __future__ import annotations

from bids_qmri.bids.dataset import participants, require_sessions
from bids_qmri.errors import UsageError
from bids_qmri.workflows.config import RunConfig


def select_participants(config: RunConfig) -> list[str]:
    """Return the labels that a run is about, in the order asked for, else sorted.

    Raises
    ------
    UsageError
        A label is not in the dataset, nobody is left, or the folder is not a dataset.
    """
    labels = participants(config.bids_dir, config.participants)
    if config.exclude_participants:
        participants(config.bids_dir, config.exclude_participants, "--exclude-participant-label")
        labels = [label for label in labels if label not in config.exclude_participants]
        if not labels:
            raise UsageError("leaves nobody", field="--exclude-participant-label", fix="exclude fewer")
    require_sessions([config.bids_dir, *config.read.derivatives.values()], config.read.sessions)
    return labels
