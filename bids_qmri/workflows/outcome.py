"""How a participant ended."""

from __future__ import annotations

from dataclasses import dataclass

from bids_qmri.completion.record import End


@dataclass(frozen=True)
class ParticipantOutcome:
    """What became of one participant.

    Parameters
    ----------
    participant
        Label without ``sub-``.
    status
        As of `completion.record.End`; ``"busy"``: another run is at work on the participant.
    messages
        One line per fault, or why there was nothing.
    fits
        Model and estimator of every fit that was asked for.
    unchanged
        Whether all was complete before, and nothing was done.
    remarks
        Those of the messages that are no faults: what of the data nothing here can fit.
    """

    participant: str
    status: End | str
    messages: tuple[str, ...] = ()
    fits: tuple[tuple[str, str], ...] = ()
    unchanged: bool = False
    remarks: tuple[str, ...] = ()
