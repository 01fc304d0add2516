"""The server: every client in a thread of its own, so that none waits for another, whatever that one does."""

from __future__ import annotations

import logging
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread

from bids_qmri.errors import InputError
from bids_qmri.inline.config import Shelf
from bids_qmri.inline.session import Session, Sink
from bids_qmri.inline.wire import Connection, DroppedError, Limits, text_message

log = logging.getLogger("bids_qmri.inline")

POLL = 0.2
"""s between looks at whether the server shall stop."""
DRAIN = 5.0
"""s for which a client may go on sending after its last answer; it would lose the answer otherwise."""
WAITING = 64
"""Clients that the system may hold until they are taken."""
SENT_AWAY = "ERR bids_qmri: silent while others wait; fix: connect when there is something to send"
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
        Slices of one client that are estimated at a time.
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
    """Serve clients, each in a thread of its own, until `stop` is set."""
    listener.settimeout(POLL)
    clients = Clients(settings.limits.clients)
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
        log.debug("client %s", address[0])
        clients.make_room()
        clients.start(client, settings)
    clients.end()


def _serve_one(client: socket.socket, connection: Connection, settings: Settings) -> None:
    """Serve one client; nothing that it does ends the server."""
    # Threads of its own: slices of a client with many do not stand in the way of another's.
    with client, ThreadPoolExecutor(settings.threads) as pool:
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


class Clients:
    """Who is served now.

    Parameters
    ----------
    most
        How many are served at a time. One more takes the place of the one that has said nothing for longest.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._served: dict[Thread, tuple[socket.socket, Connection]] = {}

    def start(self, client: socket.socket, settings: Settings) -> None:
        """Serve a client."""
        connection = Connection(client, settings.limits)
        thread = Thread(target=_serve_one, args=(client, connection, settings), daemon=True)
        self._served[thread] = (client, connection)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            del self._served[thread]
            log.error("a client could not be served: %s", error)
            with client:
                _say(connection, "ERR bids_qmri: the server has no more threads; fix: come back later")

    def make_room(self) -> None:
        """End the client that has said nothing for longest, if there are as many as may be served."""
        self._served = {thread: one for thread, one in self._served.items() if thread.is_alive()}
        if len(self._served) < self._most:
            return
        longest = min(self._served, key=lambda thread: self._served[thread][1].heard)
        client, _ = self._served.pop(longest)
        log.warning("%d clients at a time: the one that was silent for longest is sent away", self._most)
        with suppress(OSError):
            # Whether it listens or not: the next client waits meanwhile.
            client.send(text_message(SENT_AWAY), socket.MSG_DONTWAIT)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Send everybody away, and wait until they are gone."""
        for client, _ in self._served.values():
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._served:
            thread.join(DRAIN)
