"""A server that runs in a thread of this process, on a free loopback port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from bids_qmri.inline.server import Settings, listen, serve


@contextmanager
def running(settings: Settings) -> Iterator[int]:
    """Serve with settings; the port is that of the server."""
    stop, listener = Event(), listen("127.0.0.1", 0)
    with listener:
        thread = Thread(target=serve, args=(listener, settings, stop), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        thread.join(timeout=20)
        assert not thread.is_alive()
