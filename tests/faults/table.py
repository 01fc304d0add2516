"""All kinds of faults, and the page of them: run this file to write docs/faults.md anew."""

from __future__ import annotations

import re
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "faults.md"
if __name__ == "__main__":
    sys.path[:0] = [str(TESTS), str(TESTS / "estimators")]

from faults import images, options, outputs, places, sidecars, tables  # noqa: E402 - after the path

ALL = [*images.ROWS, *sidecars.ROWS, *tables.ROWS, *places.ROWS, *outputs.ROWS, *options.ROWS]

HEAD = """# What may be wrong with a dataset, and what then happens

One bad thing costs one thing. What cannot be read ends the fit that needed it, with one line that names the
file, what was seen, what is needed and the fix; other participants, and other scans of the same participant,
go on. Every row is a test that runs the whole program on two participants, one of them sound.

The code is that of the whole run: 0 everything was done (the line is a warning), 1 something failed, 2 the
command cannot be meant and nothing was begun, 65 nothing can be fitted. "Lost" is what has no maps
afterwards: the scan that needs the file, or all that was asked for. No file may be a named pipe, a device, a
socket or a folder, and none is read beyond these sizes: sidecars 32 MB, tables 64 MB, b-values and directions
16 MB, files of options and cards 4 MB, networks 512 MB.

A disk that is full at any write, a process that is killed at any moment, a run that is suspended while
another one wants its participant: benchmarks/results/reliability.md and clusters.md.

"""


def lost(fault) -> str:  # type: ignore[no-untyped-def]
    """Return what has no maps."""
    if fault.own:
        return "nothing"
    return "the scan" if fault.others else "all that was asked for"


def _words(fault) -> str:  # type: ignore[no-untyped-def]
    """Return what the line says of the file, without the marks of regular expressions."""
    words = " ... ".join(fault.says[1:] or fault.says)
    plain = re.sub(r"\\(.)", r"\1", words.partition("|")[0].replace(".*", " ... "))
    return plain.replace("[+]", "+").replace("|", "/")


def page() -> str:
    """Return the page as text."""
    rows = ["| kind | the line says | code | lost |", "|---|---|---|---|"]
    rows += [f"| {fault.kind} | {_words(fault)} | {fault.code} | {lost(fault)} |" for fault in ALL]
    return HEAD + f"{len(ALL)} kinds:\n\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
