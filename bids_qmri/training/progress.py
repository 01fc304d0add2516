"""A progress bar where tqdm is installed and someone watches, else a line in the log at once and now and then."""

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
    """Yield the items and show how far it is.

    Parameters
    ----------
    items
        What to go through.
    total
        Number of items.
    what
        What is being done, for the bar or the log.
    """
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
            last = now
            left = (now - begun) / done * (total - done)
            LOGGER.info("%s: %d of %d%s", what, done, total, f", about {left:.0f} s left" if done < total else "")
