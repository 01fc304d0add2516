"""Blocks of voxels on several threads: in order, a few at a time, the same results for any number of threads.

numpy and onnxruntime let go of the interpreter while they compute, so that threads share out the work without
copies. Libraries must not start threads of their own inside them (`cli.environment`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def in_threads(work: Callable[[Item], Answer], items: Iterable[Item], threads: int = 1) -> Iterator[Answer]:
    """Apply a function to items on several threads, and yield its answers in the order of the items.

    Items are taken by the thread that asks for answers, at most one more than there are threads ahead of the
    answer that it waits for: memory is bounded by that number, not by the items.

    Parameters
    ----------
    work
        May be called by several threads at a time; what it raises is raised in place of its answer.
    items
        What it is applied to.
    threads
        How many; 1 calls it here.
    """
    if threads == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Answer]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="blocks") as pool:
        try:
            for item in items:
                # What numpy does about division by zero belongs to the context, which threads do not share.
                waiting.append(pool.submit(copy_context().run, work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
