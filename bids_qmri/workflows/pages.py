"""Write the page of a participant, on several threads, or in several processes if there is much to draw."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from bids_qmri.errors import of_machine
from bids_qmri.estimators.threads import in_threads
from bids_qmri.interfaces.agreement import compare_estimators
from bids_qmri.reports.problems import write_problems
from bids_qmri.reports.records import find_records
from bids_qmri.reports.sections import DrawAll
from bids_qmri.reports.subject import write_subject_page
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.outcome import ParticipantOutcome

log = logging.getLogger("bids_qmri.workflow")

FEW_FITS = 8
"""Up to this many fits, starting processes takes longer than drawing."""


def write_page(
    config: RunConfig, end: ParticipantOutcome, root: Path, *, processes: int = 1
) -> ParticipantOutcome:
    """Compare estimators and write the page; what goes wrong must not cost the maps.

    Parameters
    ----------
    config
        Choices of the run.
    end
        How the fits of the participant ended.
    root
        Holds the participant's folder; the page is written beside it.
    processes
        That may draw.
    """
    try:
        if not config.reports_only:
            faults = [message for message in end.messages if message not in end.remarks]
            write_problems(root, end.participant, faults, end.remarks)
        compare_estimators(root, end.participant, {"raw": config.bids_dir, **config.read.derivatives})
        fits = len(find_records(root, end.participant))
        with _drawing(fits, processes, config.omp_nthreads or processes) as draw_all:
            write_subject_page(root, end.participant, by_session=config.report_by_session, draw_all=draw_all)
    except Exception as error:
        if config.debug:
            raise
        log.debug("page of sub-%s", end.participant, exc_info=True)
        what = of_machine(error) or f"{type(error).__name__}: {error}"
        line = f"the page could not be written ({what}); --debug shows where"
        return replace(end, status="failed", messages=(*end.messages, line))
    return end


@contextmanager
def _drawing(fits: int, processes: int, threads: int) -> Iterator[DrawAll]:
    """Lend what applies a function to many arguments: on several threads, or in several processes."""
    if processes == 1 or fits <= FEW_FITS:
        yield partial(in_threads, threads=threads)
        return
    # Fresh processes: a copy of this one would hold the locks of threads that it does not have.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield pool.map
