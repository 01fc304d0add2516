"""Ctrl-C, ``docker stop``, cancelled cluster jobs: the run ends at once, and its worker processes with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def end_on_signals(say_goodbye: Callable[[int], int]) -> Iterator[None]:
    """End the process when SIGINT, SIGTERM or SIGHUP arrives while it lasts.

    Parameters
    ----------
    say_goodbye
        Called in the process that entered this context, once its processes are gone, with 128 plus the number
        of the signal, as shells count; returns the exit code.

    Notes
    -----
    Raising KeyboardInterrupt is not enough: nipype takes it for the failure of one step and goes on, and its
    pool waits for every job that still runs. SIGTERM does nothing at all to process 1 of a container unless
    somebody listens. A signal that the caller chose to ignore (``nohup``, background jobs) stays ignored.
    """
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        code = 128 + number
        try:
            if os.getpid() == owner:  # workers of a pool are forks and inherit this handler
                for worker in multiprocessing.active_children():
                    worker.kill()
                code = say_goodbye(code)
        finally:
            os._exit(code)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
