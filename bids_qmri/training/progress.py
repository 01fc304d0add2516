"""A progress bar where tqdm is installed and someone watches, else lines in the log, the first at once."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

LOGGER = logging.getLogger("bids_qmri")
LOG_SECONDS = 10.0

T = TypeVar("T")


def progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield `total` items and show how far it is with `what` is being done."""
    if sys.stderr.isatty():
        try:
            from tqdm import tqdm  # type: ignore[import-untyped]
        except ModuleNotFoundError:
            pass
        else:
            yield from tqdm(items, total=total, desc=what)
            return
    LOGGER.info("%s: 0 of %d", what, total)
    begun = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last > LOG_SECONDS or done == total:
            last, left = now, (now - begun) / done * (total - done)
            LOGGER.info("%s: %d of %d, about %.0f s left", what, done, total, left)
