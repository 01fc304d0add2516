"""How every run ends: one exit code, and one last line that says what it means."""

from __future__ import annotations

import sys
from contextlib import suppress
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_INPUT = 65
    INTERNAL = 70
    BUSY = 75
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


MEANING = {
    ExitCode.OK: "finished without errors",
    ExitCode.FAILED: "at least one participant or step failed",
    ExitCode.USAGE: "the command line asks for something impossible",
    ExitCode.NO_INPUT: "nobody had usable input",
    ExitCode.INTERNAL: "internal error",
    ExitCode.BUSY: "another run is at work on all that was left to do; try again later",
    ExitCode.HUNG_UP: "the terminal was closed",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TERMINATED: "ended from outside",
}


def finish(code: int) -> int:
    """Print the last line of a run and return `code` as a plain number."""
    code = ExitCode(code)
    # Nobody may be reading: a closed pipe or a full disk does not change how the run ended.
    with suppress(OSError):
        sys.stderr.flush()  # otherwise a late message could follow the last line
        print(f"bids_qmri: exit code {int(code)}: {MEANING[code]}", flush=True)
    return int(code)
