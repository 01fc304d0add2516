"""Intermediate files: a folder for each run, and nothing of runs that have ended."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bids_qmri.completion.lease import EXPIRY
from bids_qmri.owner import owner_of, this_process

_DAY = 86400.0


@contextmanager
def own_scratch(work_dir: Path, run_id: str) -> Iterator[Path]:
    """Lend a folder for intermediate files that belongs to one run, and remove those of dead runs."""
    clear_scratch(work_dir)
    folder = work_dir / f"{run_id}.{this_process().token}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_scratch(work_dir: Path, *, everything: bool = False) -> None:
    """Remove intermediate files of runs that have ended.

    Parameters
    ----------
    work_dir
        Folder of all runs' intermediate files.
    everything
        Remove what belongs to no run, too.
    """
    for path in sorted(work_dir.iterdir()) if work_dir.is_dir() else ():
        owner = owner_of(path.name)
        if owner is None:
            dead = everything
        elif (lives := owner.lives()) is None:
            # Of another machine, where it is renewed as leases are.
            dead = time.time() - path.stat().st_mtime > (EXPIRY if everything else _DAY)
        else:
            dead = not lives
        if dead and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif dead:
            with suppress(OSError):
                path.unlink()
