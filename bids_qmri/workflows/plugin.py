"""nipype's MultiProc, made to notice when one of its processes is killed."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from nipype.pipeline.plugins import MultiProcPlugin


class WatchedMultiProc(MultiProcPlugin):  # type: ignore[misc]
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

    def _report_crash(self, node: Any, result: Any = None) -> str:
        """Leave no file: jobs record their own end, and nipype's report fails for want of a result."""
        return f"{node.name} left no result"
