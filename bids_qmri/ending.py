"""What is to be done before a signal ends this process: leases go back, jobs of a cluster are cancelled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

_last_acts: dict[str, Callable[[], None]] = {}


def at_signal(name: str, act: Callable[[], None]) -> None:
    """Do something before a signal ends this process; another act of the same name takes its place."""
    _last_acts[name] = act


def no_longer(name: str) -> None:
    """Forget an act."""
    _last_acts.pop(name, None)


def last_acts() -> None:
    """Do all that is to be done; what fails does not keep the others from it."""
    for act in tuple(_last_acts.values()):
        with suppress(Exception):
            act()
