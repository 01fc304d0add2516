"""Which process a file belongs to, so that others can tell whether its owner still lives.

Used in the names of unfinished files, in leases of participants and in scratch folders. A process id alone
says nothing: another machine, another container or a later process may have the same one.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TOKEN = re.compile(r"(?P<machine>[0-9a-f]{8})-p(?P<pid>\d+)-(?P<start>-?\d+)")


@dataclass(frozen=True)
class Owner:
    """A process.

    Parameters
    ----------
    machine
        Short name of the machine since it was started, and of the container's processes on it.
    pid
        Number of the process there.
    start
        When it was started, in the machine's own units; 0 if that cannot be known.
    """

    machine: str
    pid: int
    start: int

    @property
    def token(self) -> str:
        """Text for file names, which `owner_of` reads."""
        return f"{self.machine}-p{self.pid}-{self.start}"

    def lives(self) -> bool | None:
        """Tell whether the process is there; None if only another machine can know."""
        if self.machine != _machine():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # somebody else's, and there
        return self.start in (0, _start_of(self.pid))


def this_process() -> Owner:
    """Return the process that calls."""
    return _process(os.getpid())


@cache
def _process(pid: int) -> Owner:
    """Return the process that calls, whose number tells it from those that it was forked from."""
    return Owner(_machine(), pid, _start_of(pid))


def owner_of(text: str) -> Owner | None:
    """Return the owner whose token stands in a text, such as a file name; None if there is none."""
    found = TOKEN.search(text)
    return None if found is None else Owner(found["machine"], int(found["pid"]), int(found["start"]))


@cache
def _machine() -> str:
    parts = [platform.node()]
    for file in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        try:
            parts.append(str(file.readlink()) if file.is_symlink() else file.read_text())
        except OSError:
            parts.append("")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:8]


def _start_of(pid: int) -> int:
    """Return the start time of a process in clock ticks since boot; 0 where the system does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    # A zombie has ended; its parent has not looked yet.
    fields = stat.rpartition(")")[2].split()
    return -1 if fields[0] == "Z" else int(fields[19])
