"""How a run shares out the processors it may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_qmri.bids.acquisition import ReadOptions
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.schedule import threads_of_each


def config(nprocs: int, threads: int | None) -> RunConfig:
    here = Path("/nowhere")
    return RunConfig(
        here, here, here, "run", ("participant",), ReadOptions(), nprocs=nprocs, omp_nthreads=threads
    )


@pytest.mark.parametrize(
    ("nprocs", "asked", "jobs", "threads"),
    [
        (8, None, 1, 8),
        (8, None, 3, 2),
        (8, None, 20, 1),
        (8, None, 0, 8),
        (8, None, None, 1),
        (1, None, 1, 1),
        (1, 4, 1, 4),
        (8, 2, None, 2),
    ],
)
def test_processes_of_one_participant_share_the_processors(
    nprocs: int, asked: int | None, jobs: int | None, threads: int
) -> None:
    """`jobs` is None for several participants, whose processes take one each."""
    assert threads_of_each(config(nprocs, asked), jobs) == threads
