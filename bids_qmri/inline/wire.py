"""MRD messages on a connection: what arrives, within limits, and what is sent back.

All numbers are little-endian. A message is a 16-bit identifier and a body; most bodies begin with their
length, which is believed only up to a limit. Format: Inati et al. 2017, doi:10.1002/mrm.26089. Called by
`session`.
"""

from __future__ import annotations

import math
import struct
import time
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError

Pixels = npt.NDArray[Any]
Header = np.void
"""One image header, a record of `IMAGE_HEADER`."""


class Kind(IntEnum):
    """Identifiers of messages."""

    CONFIG_FILE = 1
    CONFIG_TEXT = 2
    METADATA_XML = 3
    CLOSE = 4
    TEXT = 5
    ACQUISITION = 1008
    IMAGE = 1022
    WAVEFORM = 1026


IMAGE_HEADER = np.dtype(
    [
        ("version", "<u2"),
        ("data_type", "<u2"),
        ("flags", "<u8"),
        ("measurement_uid", "<u4"),
        ("matrix_size", "<u2", 3),
        ("field_of_view", "<f4", 3),
        ("channels", "<u2"),
        ("position", "<f4", 3),
        ("read_dir", "<f4", 3),
        ("phase_dir", "<f4", 3),
        ("slice_dir", "<f4", 3),
        ("patient_table_position", "<f4", 3),
        ("average", "<u2"),
        ("slice", "<u2"),
        ("contrast", "<u2"),
        ("phase", "<u2"),
        ("repetition", "<u2"),
        ("set", "<u2"),
        ("acquisition_time_stamp", "<u4"),
        ("physiology_time_stamp", "<u4", 3),
        ("image_type", "<u2"),
        ("image_index", "<u2"),
        ("image_series_index", "<u2"),
        ("user_int", "<i4", 8),
        ("user_float", "<f4", 8),
        ("attribute_string_len", "<u4"),
    ]
)
"""The fixed header of an image, 198 bytes without gaps."""

PIXEL_TYPES = {1: "<u2", 2: "<i2", 3: "<u4", 4: "<i4", 5: "<f4", 6: "<f8", 7: "<c8", 8: "<c16"}
INT16 = 2
MAGNITUDE = 1
CONFIG_NAME_BYTES = 1024
LONGEST_TEXT = 8 * 2**20
"""Bytes of attributes or of a text: parsed XML takes 26 times as much memory, and nothing else meanwhile."""

WAVEFORM_HEADER = struct.Struct("<H6xQIIIHHfH2x")

_UNDERSTOOD = frozenset(int(kind) for kind in Kind if kind != Kind.ACQUISITION)
_ID = struct.Struct("<H")
_LENGTH = struct.Struct("<I")
_ATTRIBUTE_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Limits:
    """What one client may ask of the server.

    Parameters
    ----------
    message
        Largest message in bytes.
    memory
        Most bytes that the images of one connection may hold.
    idle
        Longest silence in s, and longest time that one message may take.
    series
        Longest time in s from the first image of a series to its last.
    clients
        How many are served at a time.
    together
        Most bytes that the images of all connections may hold.
    """

    message: int = 256 * 2**20
    memory: int = 4 * 2**30
    idle: float = 300.0
    series: float = 7200.0
    clients: int = 64
    together: int = 16 * 2**30


@dataclass(frozen=True, eq=False)
class Image:
    """One image as it came: fixed header, attributes (XML), pixels with x fastest, then y, z, channel."""

    header: Header
    attributes: bytes
    pixels: Pixels

    @property
    def n_bytes(self) -> int:
        """Memory that it holds."""
        return int(self.pixels.nbytes) + len(self.attributes) + IMAGE_HEADER.itemsize


@dataclass(frozen=True)
class Message:
    """One message: its identifier and, depending on it, a text or an image."""

    kind: Kind
    text: str = ""
    image: Image | None = None


class Stream(Protocol):
    """The part of a socket that is needed."""

    def recv_into(self, buffer: memoryview, /) -> int: ...

    def sendall(self, data: bytes, /) -> None: ...


class DroppedError(InputError):
    """The client is gone; there is nobody to tell."""


@dataclass
class Connection:
    """Messages of one client.

    Parameters
    ----------
    stream
        A connected socket, whose timeout is the limit of silence.
    limits
        What is believed and awaited.
    heard
        When something came last, on the clock of `time.monotonic`.
    """

    stream: Stream
    limits: Limits
    heard: float = field(default_factory=time.monotonic, init=False)
    _deadline: float = field(default=0.0, init=False)

    def receive(self) -> Message | None:
        """Return the next message, None if the client has closed the connection.

        Raises
        ------
        InputError
            If the message is not understood, too large or comes too slowly; what follows it cannot be read.
        DroppedError
            If the connection ends inside a message.
        """
        self._deadline = time.monotonic() + self.limits.idle
        start = bytearray(_ID.size)
        if not self._fill(memoryview(start), may_end=True):
            return None
        number = _ID.unpack(start)[0]
        # Waiting for a message and receiving it have their time each.
        self._deadline = time.monotonic() + self.limits.idle
        if number not in _UNDERSTOOD:
            raise InputError(
                f"message of kind {number}" + (" (raw data)" if number == Kind.ACQUISITION else ""),
                needed=f"MRD messages of kinds {', '.join(map(str, sorted(_UNDERSTOOD)))}",
                fix="send reconstructed images",
            )
        kind = Kind(number)
        if kind == Kind.IMAGE:
            return Message(kind, image=self._image())
        if kind == Kind.WAVEFORM:
            _, _, _, _, _, samples, channels, _, _ = WAVEFORM_HEADER.unpack(
                self._exactly(WAVEFORM_HEADER.size)
            )
            self._exactly(self._allowed(4 * samples * channels, "waveform"))
            return Message(kind)
        if kind == Kind.CLOSE:
            return Message(kind)
        length = CONFIG_NAME_BYTES
        if kind != Kind.CONFIG_FILE:
            length = self._allowed(_LENGTH.unpack(self._exactly(_LENGTH.size))[0], "text", LONGEST_TEXT)
        return Message(kind, text=until_nul(self._exactly(length)).decode("utf-8", errors="replace"))

    def send_text(self, text: str) -> None:
        """Send a line for the host's log; hosts colour it by its first three letters: DBG, WRN, ERR."""
        self._send(text_message(text))

    def send_image(self, image: Image) -> None:
        """Send an image."""
        image.header["attribute_string_len"] = len(image.attributes)
        self._send(
            b"".join(
                (
                    _ID.pack(Kind.IMAGE),
                    image.header.tobytes(),
                    _ATTRIBUTE_LENGTH.pack(len(image.attributes)),
                    image.attributes,
                    image.pixels.tobytes(),
                )
            )
        )

    def send_close(self) -> None:
        """Say that nothing follows."""
        self._send(_ID.pack(Kind.CLOSE))

    def _image(self) -> Image:
        head = np.frombuffer(self._exactly(IMAGE_HEADER.itemsize), dtype=IMAGE_HEADER)[0]
        length = _ATTRIBUTE_LENGTH.unpack(self._exactly(_ATTRIBUTE_LENGTH.size))[0]
        attributes = self._exactly(self._allowed(length, "attributes", LONGEST_TEXT))
        data_type = int(head["data_type"])
        if data_type not in PIXEL_TYPES:
            raise InputError(
                f"image of data type {data_type}", field="data_type", needed="1 to 8, as in the MRD format"
            )
        dtype = np.dtype(PIXEL_TYPES[data_type])
        count = int(head["channels"]) * math.prod(head["matrix_size"].tolist())
        # Not zeroed: memory that a length claims is taken as its content comes.
        pixels = np.empty(self._allowed(count * dtype.itemsize, "pixels") // dtype.itemsize, dtype=dtype)
        self._fill(pixels.data.cast("B"))
        return Image(head, bytes(until_nul(attributes)), pixels)

    def _allowed(self, length: int, what: str, limit: int | None = None) -> int:
        """Return a length that is not above `limit`, nor above what the server was started with."""
        if limit is not None and length > limit:
            raise InputError(f"{what} of {length:,} bytes", needed=f"at most {limit:,} bytes")
        if length > self.limits.message:
            raise InputError(
                f"{what} of {length:,} bytes",
                needed=f"at most {self.limits.message:,} bytes",
                fix="start the server with a larger --max-message",
            )
        return length

    def _exactly(self, count: int) -> bytearray:
        content = bytearray(count)
        self._fill(memoryview(content))
        return content

    def _fill(self, view: memoryview, *, may_end: bool = False) -> bool:
        """Fill a buffer; False if the connection ended before its first byte, where it may."""
        got, wanted = 0, len(view)
        while got < wanted:
            try:
                count = self.stream.recv_into(view[got:])
            except TimeoutError as error:
                raise self._silent() from error
            except OSError as error:
                raise DroppedError(f"the connection broke ({error.strerror or error})") from error
            if count == 0:
                if may_end and got == 0:
                    return False
                raise DroppedError(
                    f"the client left inside a message, {wanted - got:,} bytes before its end",
                    needed="whole messages, CLOSE last",
                )
            got += count
            self.heard = time.monotonic()
            if got < wanted and self.heard > self._deadline:
                raise self._silent()
        return True

    def _silent(self) -> InputError:
        return InputError(
            f"no whole message came within {self.limits.idle:g} s",
            needed="images, or CLOSE",
            fix="start the server with a longer --idle",
        )

    def _send(self, content: bytes) -> None:
        try:
            self.stream.sendall(content)
        except OSError as error:
            raise DroppedError(
                f"the client does not take what is sent ({error.strerror or error})"
            ) from error


def text_message(text: str) -> bytes:
    """Return the bytes of a text."""
    content = text.encode() + b"\0"
    return _ID.pack(Kind.TEXT) + _LENGTH.pack(len(content)) + content


def until_nul(content: bytearray) -> bytearray:
    """Return what precedes the first NUL; some hosts count one, some do not."""
    return content.split(b"\0", 1)[0]
