"""The server: one client after the other, whatever the one before did."""

from __future__ import annotations

import logging
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event

from bids_qmri.errors import InputError
from bids_qmri.inline.config import Shelf
from bids_qmri.inline.session import Session, Sink
from bids_qmri.inline.wire import Connection, DroppedError, Limits

log = logging.getLogger("bids_qmri.inline")

POLL = 0.2
"""s between looks at whether the server shall stop."""
DRAIN = 5.0
"""s for which a client may go on sending after its last answer; it would lose the answer otherwise."""
WAITING = 8
"""Clients that may wait for their turn."""
RECEIVE_BUFFER = 4 * 2**20
"""Bytes that the system takes while Python is busy."""


@dataclass(frozen=True)
class Settings:
    """How clients are served.

    Parameters
    ----------
    shelf
        Configurations and networks.
    limits
        What one client may ask for.
    threads
        Slices that are estimated at a time.
    sinks
        Where maps go beside the connection.
    """

    shelf: Shelf = field(default_factory=Shelf)
    limits: Limits = field(default_factory=Limits)
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    sinks: tuple[Sink, ...] = ()


def listen(address: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=WAITING)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return listener


def serve(listener: socket.socket, settings: Settings, stop: Event) -> None:
    """Serve clients in turn until `stop` is set."""
    listener.settimeout(POLL)
    with ThreadPoolExecutor(settings.threads) as pool:
        while not stop.is_set():
            try:
                client, address = listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                # A client that gave up while it waited, or no more files for now.
                log.warning("a client could not be accepted: %s", error)
                time.sleep(POLL)
                continue
            with client:
                log.debug("client %s", address[0])
                _serve_one(client, settings, pool)


def _serve_one(client: socket.socket, settings: Settings, pool: ThreadPoolExecutor) -> None:
    """Serve one client; nothing that it does ends the server."""
    connection = Connection(client, settings.limits)
    try:
        client.settimeout(settings.limits.idle)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Session(connection, settings.shelf, pool, settings.sinks).run()
    except InputError as error:
        log.error("%s", error)
        _say(connection, f"ERR bids_qmri: {error}")
    except Exception as error:
        log.error("internal error: %s: %s", type(error).__name__, error, exc_info=True)
        _say(connection, f"ERR bids_qmri: internal error: {type(error).__name__}")
    with suppress(OSError, DroppedError):
        connection.send_close()
        client.shutdown(socket.SHUT_WR)
        _drain(client)


def _say(connection: Connection, text: str) -> None:
    with suppress(DroppedError):
        connection.send_text(text)


def _drain(client: socket.socket) -> None:
    """Read on until the client closes: a connection that is closed over unread data loses what was sent."""
    client.settimeout(POLL)
    rest, until = bytearray(65536), time.monotonic() + DRAIN
    while time.monotonic() < until:
        with suppress(TimeoutError):
            if client.recv_into(rest) == 0:
                return
