"""Where a command may write: never into the dataset, and only where files can be made."""

from __future__ import annotations

import os
from pathlib import Path

from bids_qmri.errors import UsageError


def output_folder(folder: Path, bids_dir: Path) -> Path:
    """Return a folder of results, which may have to be made, before anything is computed for it.

    Parameters
    ----------
    folder
        As a person named it.
    bids_dir
        The dataset.

    Raises
    ------
    UsageError
        It lies inside the dataset, or nothing can be written there.
    """
    found, dataset = folder.resolve(), bids_dir.resolve()
    if found.is_relative_to(dataset) and not found.is_relative_to(dataset / "derivatives"):
        raise UsageError(
            "lies inside the dataset, which is never written to",
            file=found,
            field="--output",
            fix="name a folder outside of it or below its derivatives/",
        )
    there = next(one for one in (found, *found.parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(
            "is no folder" if not there.is_dir() else "cannot be written (no permission)",
            file=there,
            field="--output",
            needed="a folder where files can be written",
        )
    return found
