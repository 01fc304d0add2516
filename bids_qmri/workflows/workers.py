"""Work in several processes, one for each piece of work, so that a killed process costs that piece alone.

The processes are forked from a server that has imported the libraries once; what they log is said by this
process. With one process at a time, everything is done here.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, parent_process
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

LOGGER = logging.getLogger("bids_qmri")

PRELOADED = ("bids_qmri.interfaces.outcomes", "bids_qmri.workflows.finish")
LOOK = 1.0
"""Seconds between looks at how much memory the processes use."""


class KilledError(RuntimeError):
    """A process ended without a result.

    Parameters
    ----------
    how
        Signal or exit code, in words.
    used_gb
        Most memory it was seen to use, in GB; None if nobody saw it.
    """

    def __init__(self, how: str, used_gb: float | None) -> None:
        super().__init__(how)
        self.how, self.used_gb = how, used_gb


@dataclass(eq=False)
class _Task:
    key: Hashable
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    memory_gb: float
    process: ForkServerProcess | None = None
    pipe: Any = None
    used_gb: float | None = None


@dataclass
class Workers:
    """A queue of work, some of it running.

    Parameters
    ----------
    processes
        How many run at a time; 1 runs everything here, one after the other.
    memory_gb
        What they may need together; a piece that needs more runs alone. None: not limited.
    debug
        Let exceptions out of here instead of returning them.
    """

    processes: int = 1
    memory_gb: float | None = None
    debug: bool = False
    _waiting: list[_Task] = field(default_factory=list)
    _running: list[_Task] = field(default_factory=list)

    def submit(
        self, key: Hashable, function: Callable[..., Any], *arguments: Any, memory_gb: float = 0.0
    ) -> None:
        """Queue a call of a function of a module, with arguments that can be pickled."""
        self._waiting.append(_Task(key, function, arguments, memory_gb))

    @property
    def unfinished(self) -> int:
        """Pieces of work that have no result yet."""
        return len(self._waiting) + len(self._running)

    def wait(self) -> tuple[Hashable, Any]:
        """Return the key of a piece of work that has ended, and its result, or what it raised."""
        if self.processes == 1:
            task = self._waiting.pop(0)
            return task.key, self._run_here(task)
        self._start_what_fits()
        while True:
            by_pipe = {task.pipe: task for task in self._running}
            for pipe in connection.wait(list(by_pipe), timeout=LOOK):
                task = by_pipe[pipe]
                ended, result = self._receive(task)
                if ended:
                    return task.key, result
            for task in self._running:
                task.used_gb = max(filter(None, (task.used_gb, _memory_of(task.process))), default=None)

    def _run_here(self, task: _Task) -> Any:
        try:
            return task.function(*task.arguments)
        except Exception as error:
            if self.debug:
                raise
            return error

    def _start_what_fits(self) -> None:
        while self._waiting and len(self._running) < self.processes:
            # Small work may overtake what has to wait for memory.
            fits = [task for task in self._waiting if self._has_room(task)]
            if not fits:
                return
            self._waiting.remove(fits[0])
            _start(fits[0])
            self._running.append(fits[0])

    def _has_room(self, task: _Task) -> bool:
        if self.memory_gb is None or not self._running:
            return True
        return sum(one.memory_gb for one in self._running) + task.memory_gb <= self.memory_gb

    def _receive(self, task: _Task) -> tuple[bool, Any]:
        """Take what a process sent: a line of its log, or its result, with which it ends."""
        try:
            kind, content = task.pipe.recv()
        except (EOFError, OSError):
            kind, content = "killed", None
        if kind == "log":
            logging.getLogger(content.name).handle(content)
            return False, None
        assert task.process is not None
        task.process.join()
        task.pipe.close()
        self._running.remove(task)
        if kind == "killed":
            return True, KilledError(_how_it_ended(task.process.exitcode), task.used_gb)
        if kind == "raised" and self.debug:
            raise content
        return True, content


def _start(task: _Task) -> None:
    context = get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    task.pipe, theirs = context.Pipe(duplex=False)
    task.process = context.Process(target=_work, args=(theirs, task.function, task.arguments))
    task.process.start()
    theirs.close()


def _work(pipe: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Call a function in a process of its own, and send what it logs and returns."""
    _end_with_parent()
    handler = _PipeHandler(pipe)
    for name in ("bids_qmri", "py.warnings"):
        logging.getLogger(name).handlers = [handler]
        logging.getLogger(name).propagate = False
    LOGGER.setLevel(logging.DEBUG)
    logging.captureWarnings(True)
    try:
        sent = ("done", function(*arguments))
    except Exception as error:
        sent = ("raised", error)
    pipe.send(sent)
    pipe.close()


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: nobody would take its results."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


class _PipeHandler(logging.handlers.QueueHandler):
    """Sends lines of a log through a pipe."""

    def __init__(self, pipe: Any) -> None:
        super().__init__(pipe)
        self._one = threading.Lock()

    def enqueue(self, record: logging.LogRecord) -> None:
        with self._one:
            self.queue.send(("log", record))  # type: ignore[attr-defined]


def _memory_of(process: ForkServerProcess | None) -> float | None:
    """Return the most memory that a process has used so far, in GB; None where the system does not tell."""
    try:
        text = Path(f"/proc/{None if process is None else process.pid}/status").read_text()
    except OSError:
        return None
    lines = [line for line in text.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 / 1e9 if lines else None


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"its process was killed (signal {-code})"
    # A server that forks cannot see how a killed process ended.
    return "its process was ended from outside"
