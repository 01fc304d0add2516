"""What the log says of a fit that ended: in how many voxels a value needs care, and what went into it."""

from __future__ import annotations

import logging

import numpy as np

from bids_qmri.estimation.blocks import ImageMaps
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import Preparation
from bids_qmri.estimators.base import Status
from bids_qmri.interfaces.job import FitJob
from bids_qmri.interfaces.scan import OpenAcquisition
from bids_qmri.qc.metrics import usable_voxels

log = logging.getLogger("bids_qmri.fit")

MOST = 0.5
"""Share of voxels from which the log warns."""

WORDS = {
    Status.AT_BOUND: "at a bound",
    Status.NOT_CONVERGED: "not converged",
    Status.UNUSABLE: "unusable",
    Status.OUT_OF_RANGE: "out of range",
    Status.UNDETERMINED: "with nothing determined",
}


def counted(job: FitJob, found: ImageMaps) -> str:
    """Say how many voxels there are, and in how many a value is missing or needs care.

    Parameters
    ----------
    job, found
        The fit, and its maps over the whole grid.
    """
    total = int(np.sum(found.status != Status.OUTSIDE))
    counts = {words: int(np.sum(found.status == status)) for status, words in WORDS.items()}
    estimated = usable_voxels(found.status)
    for name, known in found.determined.items():
        counts[f"with {job.table.estimate(name).symbol} undetermined"] = int(np.sum(estimated & (known == 0)))
    parts = [f"{count} {words}" for words, count in counts.items() if count]
    return f"{total} voxels, {', '.join(parts) if parts else 'all estimated and determined'}"


def doubtful(found: ImageMaps) -> bool:
    """Whether most voxels have no value, or one at a limit: what was assumed is likely wrong."""
    inside = found.status[found.status != Status.OUTSIDE]
    useless = (Status.UNUSABLE, Status.AT_BOUND, Status.UNDETERMINED)
    return any(np.mean(inside == status) > MOST for status in useless)


def log_details(
    job: FitJob, opened: OpenAcquisition, how: Preparation, noise: ScanNoise | None, seconds: float
) -> None:
    """Say which files were read and what went into a fit: shown by -v, and always in the log file."""
    read = dict.fromkeys((*job.acquisition.sources, *opened.choice.files, *opened.sources))
    log.debug("%s: read %s", job.name, ", ".join(map(str, read)))
    facts = {**({} if noise is None else noise.fields(opened.mask)), **how.used}
    for key, value in facts.items():
        log.debug("%s: %s %s", job.name, key, value)
    log.debug("%s: %.1f s", job.name, seconds)
