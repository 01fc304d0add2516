"""How much memory a fit will take, from the headers of its images, and how much there is."""

from __future__ import annotations

import os
from pathlib import Path

from bids_qmri.bids.nifti import read_header
from bids_qmri.errors import QmriError
from bids_qmri.interfaces.job import AcquisitionJob

BASE_GB = 0.25
"""Of a process with its libraries, a block of voxels, and the network."""

THREAD_GB = 0.08
"""Of every further thread: two more blocks of voxels, and what is computed from one."""

BYTES_PER_VOXEL = 150
"""Of the grid: maps with their errors, mask, labels, and the copies while they are written."""

CGROUPS = Path("/sys/fs/cgroup")


def planned_memory_gb(job: AcquisitionJob) -> float:
    """Return what the fits of an acquisition may need at most, in GB.

    Images are never held whole: their voxels lie in a file, and are fitted block by block. What grows with
    the image are maps.
    """
    try:
        voxels = read_header(job.acquisition.images[0]).n_voxels
    except QmriError:
        return BASE_GB  # the fit will say what is wrong
    base = BASE_GB + (job.fits[0].threads - 1) * THREAD_GB
    return base + voxels * BYTES_PER_VOXEL / 1e9


def available_memory_gb() -> float | None:
    """Return how much memory this process may use, in GB: of the machine, or what its cgroup grants.

    None where the system does not tell.
    """
    limits = [limit for limit in (_of_cgroup(), _of_machine()) if limit is not None]
    return min(limits) / 1e9 if limits else None


def _of_machine() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def _of_cgroup() -> int | None:
    """Return the smallest limit of the groups that this process belongs to, by either version of cgroups."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    found: list[int] = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers == "":
            found += _limits(CGROUPS, place, "memory.max")
        elif "memory" in controllers.split(","):
            found += _limits(CGROUPS / "memory", place, "memory.limit_in_bytes")
    return min(found, default=None)


def _limits(root: Path, place: str, name: str) -> list[int]:
    """Return the limits of a group and of those above it."""
    group = root / place.lstrip("/")
    folders = [folder for folder in (group, *group.parents) if folder.is_relative_to(root)]
    # In a container the group's own name is not there; what is there is the container's.
    texts = [(folder / name).read_text().strip() for folder in folders if (folder / name).is_file()]
    # The old version writes "no limit" as a number near 2^63.
    return [int(text) for text in texts if text.isdigit() and int(text) < 1 << 60]
