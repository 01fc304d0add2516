"""One client: its messages in, its maps out, and one line of text for whatever goes wrong.

A fault of one series (no b-value, another shape, missing images) spoils that series alone. A message that
cannot be read ends the connection, because nobody knows where the next one begins.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from bids_qmri.errors import InputError
from bids_qmri.estimators.networks.network_file import forget_networks
from bids_qmri.inline.config import Config, Shelf, parse_values
from bids_qmri.inline.estimation import Estimation, SeriesMaps, warm_up
from bids_qmri.inline.header import StreamHeader, parse_header
from bids_qmri.inline.output import map_images
from bids_qmri.inline.wire import MAGNITUDE, Connection, Image, Kind, Message

log = logging.getLogger("bids_qmri.inline")

JOINED = -1
"""Stands for the number of a series that may be spread over several."""

OVERHEAD = 1024
"""Bytes of memory that go with an image of any size."""

Sink = Callable[[SeriesMaps], None]
"""Called with the maps of every series after they were sent, to write them elsewhere."""


class Held:
    """Bytes that the images of every client hold."""

    def __init__(self) -> None:
        self._by_client: dict[int, int] = {}
        self._lock = Lock()

    def add(self, client: object, n_bytes: int) -> int:
        """Note what a client holds, and return what all hold together."""
        with self._lock:
            self._by_client[id(client)] = n_bytes
            return sum(self._by_client.values())

    def forget(self, client: object) -> None:
        """Note that a client is gone."""
        with self._lock:
            self._by_client.pop(id(client), None)


HELD = Held()
_KEEPING = Lock()


@dataclass
class _Series:
    """One series of this client."""

    estimation: Estimation
    began: float
    last: float = 0.0
    held: int = 0
    fault: str = ""


@dataclass
class Session:
    """What one client has sent so far.

    Parameters
    ----------
    connection
        Its messages.
    shelf
        Configurations and networks.
    pool
        Where slices are estimated.
    sinks
        Where maps go beside the connection.
    """

    connection: Connection
    shelf: Shelf
    pool: Executor
    sinks: tuple[Sink, ...] = ()
    _name: str = field(default="", init=False)
    _values: dict[str, Any] = field(default_factory=dict, init=False)
    _header: StreamHeader = field(default_factory=StreamHeader, init=False)
    _config: Config | None = field(default=None, init=False)
    _series: dict[int, _Series] = field(default_factory=dict, init=False)
    _originals: list[Image] = field(default_factory=list, init=False)
    _held: int = field(default=0, init=False)
    _highest: int = field(default=0, init=False)
    _left_out: int = field(default=0, init=False)

    def run(self) -> None:
        """Serve the client until it says CLOSE or leaves.

        Raises
        ------
        InputError
            If it cannot be served any further.
        """
        try:
            while (message := self.connection.receive()) is not None:
                if message.kind == Kind.CLOSE:
                    self._finish()
                    return
                self._take(message)
            if self._series:
                n_images = sum(s.estimation.series.n_images for s in self._series.values())
                raise InputError(
                    f"the client left after {n_images} images without CLOSE; nothing was computed",
                    needed="CLOSE after the last image",
                )
        finally:
            for series in self._series.values():
                series.estimation.cancel()
            HELD.forget(self)

    def _take(self, message: Message) -> None:
        if message.image is not None:
            self._take_image(message.image)
        elif message.kind == Kind.CONFIG_FILE:
            self._name = message.text.strip()
        elif message.kind == Kind.CONFIG_TEXT:
            self._hold(len(message.text))
            self._values |= parse_values(message.text)
        elif message.kind == Kind.METADATA_XML:
            self._header = parse_header(message.text)
            if self._header.problem:
                log.info("%s", self._header.problem)
        elif message.kind == Kind.TEXT and message.text.lstrip().startswith("{") and not self._series:
            self._hold(len(message.text))
            self._values |= parse_values(message.text)

    def _take_image(self, image: Image) -> None:
        if self._config is None:
            self._config = self.shelf.config(self._name, self._values)
            if self._config.network is not None:
                # Its file may have been replaced since the last client.
                forget_networks()
            self.pool.submit(warm_up, self._config)
        config, head, size = self._config, image.header, image.n_bytes + OVERHEAD
        self._highest = max(self._highest, int(head["image_series_index"]))
        if config.send_original:
            self._hold(size)
            self._originals.append(image)
        if int(head["image_type"]) not in (0, MAGNITUDE):
            self._left_out += 1
            return
        now = time.monotonic()
        number = JOINED if config.forward.protocol.stream_joined else int(head["image_series_index"])
        series = self._series.get(number)
        if series is None:
            series = self._series[number] = _Series(Estimation(config, self._header, self.pool), now)
        series.last = now
        if series.fault:
            return
        if now - series.began > self.connection.limits.series:
            self._fail(number, series, self._too_slow())
            return
        if not config.send_original:
            self._hold(size)
            series.held += size
        try:
            series.estimation.add(image)
        except InputError as error:
            self._fail(number, series, error)

    def _too_slow(self) -> InputError:
        return InputError(
            f"images still come after {self.connection.limits.series:g} s",
            needed="a whole series by then",
            fix="start the server with a longer --deadline",
        )

    def _hold(self, n_bytes: int) -> None:
        """Count what is kept in memory.

        Raises
        ------
        InputError
            If it is too much.
        """
        limits = self.connection.limits
        self._held += n_bytes
        if self._held > limits.memory:
            raise InputError(
                f"images of more than {limits.memory:,} bytes",
                needed="a smaller series",
                fix="start the server with a larger --max-memory",
            )
        if HELD.add(self, self._held) > limits.together:
            raise InputError(
                f"images of all clients hold more than {limits.together:,} bytes",
                needed="memory for this series beside those of others",
                fix="send it again later, or start the server with a larger --max-memory-together",
            )

    def _fail(self, number: int, series: _Series, error: InputError) -> None:
        """Give a series up, and say why."""
        series.fault = str(error)
        series.estimation.cancel()
        # Images that are to be sent back stay, whatever becomes of their series.
        self._held -= series.held
        series.held = 0
        series.estimation.series.slots.clear()
        name = "series" if number == JOINED else f"series {number}"
        log.error("%s: %s", name, error)
        self.connection.send_text(f"ERR bids_qmri: {name}: {error}")

    def _finish(self) -> None:
        """Send everything back."""
        for image in self._originals:
            self.connection.send_image(image)
        if self._left_out:
            log.info("%d images that are no magnitudes were left out", self._left_out)
        free = self._highest + 1
        for number, series in self._series.items():
            if series.fault:
                continue
            try:
                free += self._deliver(number, series, free)
            except InputError as error:
                self._fail(number, series, error)

    def _deliver(self, number: int, series: _Series, first_series: int) -> int:
        """Estimate what is left of a series and send its maps; return how many."""
        begun = time.monotonic()
        found = series.estimation.finish()
        estimated = time.monotonic()
        images = list(map_images(found, first_series))
        for image in images:
            self.connection.send_image(image)
        for note in found.notes:
            self.connection.send_text(f"WRN bids_qmri: {note}")
        sent = time.monotonic()
        kept = series.estimation.series
        z, y, x = kept.shape
        log.info(
            "%s: %s %s, %d encodings x %d slices x %d x %d x %d, %.1f MB in %d images; received in %.2f s, "
            "estimated in %.2f s more (%d of %d slices were begun and done before), %d images sent in %.2f s",
            "series" if number == JOINED else f"series {number}",
            found.config.model,
            found.config.estimator,
            found.n_measurements,
            len(found.references),
            z,
            y,
            x,
            kept.n_bytes / 1e6,
            kept.n_images,
            series.last - series.began,
            estimated - begun,
            found.n_early,
            len(found.references),
            len(images),
            sent - estimated,
        )
        for note in found.notes:
            log.warning("%s", note)
        self._keep(found)
        return len({int(image.header["image_series_index"]) for image in images})

    def _keep(self, found: SeriesMaps) -> None:
        """Write maps elsewhere as well; they were sent, whatever comes of it."""
        for sink in self.sinks:
            try:
                # One at a time: what writes elsewhere need not know of other clients.
                with _KEEPING:
                    sink(found)
            except InputError as error:
                log.error("%s", error)
                self.connection.send_text(f"ERR bids_qmri: {error}")
