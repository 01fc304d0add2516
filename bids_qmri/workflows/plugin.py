"""nipype's plugins, made to notice when a process or a job is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from nipype.pipeline import plugins
from nipype.pipeline.plugins import MultiProcPlugin

from bids_qmri.ending import at_signal, no_longer

CANCEL = {"SLURM": "scancel", "PBS": "qdel", "SGE": "qdel", "LSF": "bkill", "OAR": "oardel"}
"""Commands that cancel jobs, by the names of nipype's plugins that submit each node as a job."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

AT_ONCE = 1000
"""Jobs that one command cancels."""


class _NoCrashFiles:
    """Leaves no crash files: jobs record their own end, and nipype's report fails for want of a result."""

    def _report_crash(self, node: Any, result: Any = None) -> str:
        return f"{node.name} left no result"


class WatchedMultiProc(_NoCrashFiles, MultiProcPlugin):  # type: ignore[misc]
    """Process pool whose killed jobs end the run instead of being waited for without end.

    Notes
    -----
    A process that the kernel kills for lack of memory breaks the pool. nipype 1.11 then raises inside a
    callback, where nobody sees it, and polls for ever for a result that cannot come.
    """

    def _async_callback(self, args: Future[Any]) -> None:
        if args.exception() is None:
            super()._async_callback(args)

    def _get_result(self, taskid: int) -> Any:
        future = self._task_obj[taskid]
        if future.done() and future.exception() is not None:
            raise future.exception()
        return super()._get_result(taskid)


@contextmanager
def postponed_signals() -> Iterator[None]:
    """Let signals that end this process wait; where another thread than the main one calls, they do not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A mask would not do: the system hands the signal to another thread, and Python to this one at once.
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in came:
            os.kill(os.getpid(), late)


def batch_plugin(name: str, plugin_args: Mapping[str, Any]) -> Any:
    """Return a plugin that submits every node as a job of a cluster, by nipype's name of it.

    A job that is cancelled or killed fails the fits of its node alone: nipype 1.11 ends the whole run, since
    its report of a crash cannot do without a result. A signal that ends this process cancels its jobs.

    Parameters
    ----------
    name
        A word of `CANCEL`.
    plugin_args
        Of the plugin.
    """

    class Watched(_NoCrashFiles, getattr(plugins, f"{name}Plugin")):  # type: ignore[misc]
        def _submit_batchtask(self, scriptfile: str, node: Any) -> int:
            at_signal("jobs", self._cancel)
            # A signal waits until it is known which job was submitted.
            with postponed_signals():
                return int(super()._submit_batchtask(scriptfile, node))

        def _clear_task(self, taskid: int) -> None:
            super()._clear_task(taskid)
            if not self._pending:
                no_longer("jobs")

        def _cancel(self) -> None:
            jobs = [str(job) for job in self._pending]
            for first in range(0, len(jobs), AT_ONCE):
                subprocess.run([CANCEL[name], *jobs[first : first + AT_ONCE]], check=False)

    return Watched(plugin_args=dict(plugin_args))
