"""How many processors this process may use: those it may run on, or the share that its cgroup grants."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def available_processors() -> int:
    """Return the number of processors this process may use, at least 1."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(int(min([own, *_granted()])), 1)


def _granted() -> Iterator[float]:
    """Yield the processors that the groups of this process grant, by either version of cgroups."""
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers == "":
            texts = [_text(group / "cpu.max") for group in _groups(CGROUPS, place)]
        elif "cpu" in controllers.split(","):
            files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            texts = [
                " ".join(_text(group / name) for name in files) for group in _groups(CGROUPS / "cpu", place)
            ]
        else:
            continue
        for text in texts:
            # "max", or -1 in the old version: no limit.
            quota, _, period = text.partition(" ")
            if quota.isdigit() and period.isdigit() and int(period) > 0:
                yield int(quota) / int(period)


def _groups(root: Path, place: str) -> list[Path]:
    """Return the folders of a group and of those above it; in a container its own name may not be there."""
    group = root / place.lstrip("/")
    return [folder for folder in (group, *group.parents) if folder.is_relative_to(root)]


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
