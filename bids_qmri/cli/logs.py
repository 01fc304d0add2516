"""Where messages go: one logger tree, the error stream, and a file beside the results."""

from __future__ import annotations

import copy
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

LOGGER = logging.getLogger("bids_qmri")
_DAY = 86400.0
KEPT = 20
"""Runs whose logs are kept in a folder, beside all of the last day."""

LIBRARIES = ("nipype", "bids", "nibabel", "py.warnings")


COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}
_PLAIN = "\x1b[0m"


class _ForPeople(logging.Formatter):
    """Leaves tracebacks to the log file unless asked for; problems stand out by colour where there is any."""

    def __init__(self, tracebacks: bool, coloured: bool) -> None:
        super().__init__("%(levelname)s: %(message)s")
        self.tracebacks, self.coloured = tracebacks, coloured

    def format(self, record: logging.LogRecord) -> str:
        shown = copy.copy(record)
        if not self.tracebacks:
            shown.exc_info = shown.exc_text = shown.stack_info = None
        if self.coloured and shown.levelname in COLOURS:
            shown.levelname = f"{COLOURS[shown.levelname]}{shown.levelname}{_PLAIN}"
        return super().format(shown)


def _has_colours(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal whose user has not said NO_COLOR (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextmanager
def console_log(verbose: int = 0, *, tracebacks: bool = False) -> Iterator[None]:
    """Send messages to the error stream while it lasts.

    Parameters
    ----------
    verbose
        0: progress and problems; 1: details; 2: those of libraries as well.
    tracebacks
        Show where an error was raised.
    """
    # A log that cannot be written is no reason for a traceback in the middle of a run.
    logging.raiseExceptions = tracebacks
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(_ForPeople(tracebacks, _has_colours(sys.stderr)))
    console.setLevel(logging.DEBUG if verbose else logging.INFO)
    loggers = [logging.getLogger(name) for name in (LOGGER.name, *LIBRARIES)]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        # a handler of some kind must be there: nipype adds its own, on the output stream, where it finds none
        logger.handlers = [console if logger is LOGGER or verbose > 1 else logging.NullHandler()]
        # libraries configure the root logger when they are imported; every line would appear twice
        logger.propagate = False
    LOGGER.setLevel(logging.DEBUG)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)


def keep_newest(folder: Path, pattern: str, runs: int = KEPT) -> None:
    """Remove the files of old runs, so that a folder of logs does not grow with every run.

    Parameters
    ----------
    folder
        Of logs.
    pattern
        Of their names, which sort by time but for their ends.
    runs
        How many runs keep theirs.
    """
    stems = sorted({path.stem for path in folder.glob(pattern)})
    for stem in stems[: max(len(stems) - runs, 0)]:
        for path in folder.glob(f"{stem}.*"):
            # Younger ones may be of runs that are at work.
            if time.time() - path.stat().st_mtime > _DAY:
                path.unlink(missing_ok=True)


@contextmanager
def file_log(path: Path) -> Iterator[None]:
    """Send every message, details and libraries included, to `path` as well while it lasts."""
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in (LOGGER.name, *LIBRARIES)]
    for logger in loggers:
        logger.addHandler(file)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(file)
        # On a full disk the last lines are lost; that must not hide how the run ended.
        with suppress(OSError):
            file.close()
