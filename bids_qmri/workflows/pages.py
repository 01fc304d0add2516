"""Write the pages of participants, in several processes where there is much to draw."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Literal

from bids_qmri.interfaces.agreement import compare_estimators
from bids_qmri.reports.problems import write_problems
from bids_qmri.reports.records import find_records
from bids_qmri.reports.sections import DrawAll
from bids_qmri.reports.subject import write_subject_page
from bids_qmri.workflows.config import RunConfig

log = logging.getLogger("bids_qmri.workflow")

FEW_FITS = 8
"""Up to this many fits, starting processes takes longer than drawing."""


@dataclass(frozen=True)
class ParticipantOutcome:
    """What became of one participant.

    Parameters
    ----------
    participant
        Label without ``sub-``.
    status
        ``"ok"``, ``"failed"`` (something that should have worked did not) or ``"nothing"`` (nothing to fit).
    messages
        One line per fault, or why there was nothing.
    """

    participant: str
    status: Literal["ok", "failed", "nothing"]
    messages: tuple[str, ...] = ()


def write_pages(config: RunConfig, ends: Sequence[ParticipantOutcome]) -> list[ParticipantOutcome]:
    """Write one page per participant, and say of which ones that failed.

    Parameters
    ----------
    config
        Choices of the run.
    ends
        How the fits of the participants ended.
    """
    fits = sum(len(find_records(config.output_dir, end.participant)) for end in ends)
    with _drawing(config.nprocs if fits > FEW_FITS else 1) as draw_all:
        return [_with_page(config, end, draw_all) for end in ends]


@contextmanager
def _drawing(processes: int) -> Iterator[DrawAll]:
    """Lend what applies a function to many arguments: one after the other, or in several processes."""
    if processes == 1:
        yield map
        return
    # Fresh processes: a copy of this one would hold the locks of threads that it does not have.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield pool.map


def _with_page(config: RunConfig, end: ParticipantOutcome, draw_all: DrawAll) -> ParticipantOutcome:
    """Compare estimators and write the page; what goes wrong must not cost the others theirs."""
    try:
        if not config.reports_only:
            write_problems(config.output_dir, end.participant, end.messages)
        compare_estimators(config.output_dir, end.participant)
        write_subject_page(
            config.output_dir, end.participant, by_session=config.report_by_session, draw_all=draw_all
        )
    except Exception as error:
        if config.debug:
            raise
        log.debug("page of sub-%s", end.participant, exc_info=True)
        line = f"the page could not be written ({type(error).__name__}: {error}); --debug shows where"
        return replace(end, status="failed", messages=(*end.messages, line))
    return end
