"""Say how far a long fit is, and how long it will take."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from bids_qmri.estimation.blocks import Block

log = logging.getLogger("bids_qmri.fit")

FIRST_SECONDS, SHARE = 5.0, 0.1
"""Time until the first line, and from one to the next as a share of the time that has passed."""


def told(
    blocks: Iterable[Block], voxels: int, name: str, clock: Callable[[], float] = time.monotonic
) -> Iterator[Block]:
    """Yield blocks; say from time to time which share of the voxels is fitted.

    Parameters
    ----------
    blocks
        As they are fitted.
    voxels
        Of all of them.
    name
        Of the fit.
    clock
        Seconds.
    """
    begun, due, done = clock(), FIRST_SECONDS, 0
    for block in blocks:
        done += block.voxels.size
        passed = clock() - begun
        if passed >= due and done < voxels:
            left = _words(passed * (voxels - done) / done)
            log.info("%s: %.0f %% of the voxels, about %s left", name, 100 * done / voxels, left)
            due = passed + max(FIRST_SECONDS, SHARE * passed)
        yield block


def _words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
