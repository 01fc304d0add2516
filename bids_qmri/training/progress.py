"""A progress bar where tqdm is installed and someone watches, else a line in the log now and then."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

LOGGER = logging.getLogger("bids_qmri")
LOG_SECONDS = 15.0

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
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last > LOG_SECONDS or done == total:
            last = time.monotonic()
            LOGGER.info("%s: %d of %d", what, done, total)
