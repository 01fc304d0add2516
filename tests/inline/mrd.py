"""A client of the streaming format, written from its description; nothing of the server is inside."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field
from xml.etree import ElementTree

import numpy as np

HEADER = "<HHQI3H3fH3f3f3f3f3fHHHHHHI3IHHH8i8fI"
TYPES = {"uint16": 1, "int16": 2, "uint32": 3, "int32": 4, "float32": 5, "float64": 6, "complex64": 7}
COUNTERS = ("average", "slice", "contrast", "phase", "repetition", "set")


def meta(**values: object) -> bytes:
    """Attributes of an image; a tuple gives several values."""
    entries = "".join(
        f"<meta><name>{name}</name>"
        + "".join(f"<value>{v}</value>" for v in (value if isinstance(value, tuple) else (value,)))
        + "</meta>"
        for name, value in values.items()
    )
    return f"<ismrmrdMeta>{entries}</ismrmrdMeta>".encode()


def image(
    pixels: np.ndarray,
    attributes: bytes = b"",
    *,
    series: int = 1,
    index: int = 1,
    image_type: int = 1,
    position: tuple[float, float, float] | None = None,
    time_stamp: int = 0,
    user_int: tuple[int, ...] = (0,) * 8,
    **counters: int,
) -> bytes:
    """One image message; pixels are (y, x) or (z, y, x)."""
    z, y, x = pixels.shape if pixels.ndim == 3 else (1, *pixels.shape)
    place = position or (-10.0, -20.0, 2.0 * counters.get("slice", 0))
    head = struct.pack(
        HEADER,
        *(1, TYPES[pixels.dtype.name], 0, 7, x, y, z, 2.0 * x, 2.0 * y, 2.0 * z, 1),
        *(*place, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0),
        *(counters.get(name, 0) for name in COUNTERS),
        *(time_stamp, 0, 0, 0, image_type, index, series, *user_int, *(0.0,) * 8, len(attributes)),
    )
    assert len(head) == 198
    return struct.pack("<H", 1022) + head + struct.pack("<Q", len(attributes)) + attributes + pixels.tobytes()


def config(name: str) -> bytes:
    return struct.pack("<H1024s", 1, name.encode())


def text(content: str, kind: int = 5) -> bytes:
    body = content.encode() + b"\0"
    return struct.pack("<HI", kind, len(body)) + body


def header(content: str = "<ismrmrdHeader/>") -> bytes:
    return text(content, 3)


CLOSE = struct.pack("<H", 4)


@dataclass
class Received:
    """One image that came back."""

    pixels: np.ndarray
    series: int
    index: int
    slice: int
    position: tuple[float, ...]
    meta: dict[str, list[str]]


@dataclass
class Answer:
    """All that came back: images by series, texts, and whether the server said CLOSE."""

    images: dict[int, list[Received]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    closed: bool = False

    def map(self, name: str) -> np.ndarray:
        """The map called `name` in its unit, (slices, z, y, x)."""
        for images in self.images.values():
            first = images[0].meta
            if first.get("QuantityName") == [name]:
                slope = float(first["RescaleSlope"][0])
                return np.stack([i.pixels for i in sorted(images, key=lambda i: i.slice)]) * slope
        raise KeyError(f"{name} is not among {[i[0].meta.get('QuantityName') for i in self.images.values()]}")


def exchange(port: int, *messages: bytes, half_close: bool = False) -> Answer:
    """Send messages, then read until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        try:
            client.sendall(b"".join(messages))
            if half_close:
                client.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_answer(client)


def read_answer(client: socket.socket) -> Answer:
    answer, stream = Answer(), client.makefile("rb")
    while start := stream.read(2):
        kind = struct.unpack("<H", start)[0]
        if kind == 4:
            answer.closed = True
            break
        if kind == 5:
            length = struct.unpack("<I", stream.read(4))[0]
            answer.texts.append(stream.read(length).rstrip(b"\0").decode())
        else:
            assert kind == 1022, f"kind {kind}"
            received = _read_image(stream)
            answer.images.setdefault(received.series, []).append(received)
    return answer


def _read_image(stream) -> Received:
    head = struct.unpack(HEADER, stream.read(198))
    attributes = stream.read(struct.unpack("<Q", stream.read(8))[0])
    assert head[-1] == len(attributes)
    x, y, z = head[4:7]
    dtype = np.dtype({number: name for name, number in TYPES.items()}[head[1]])
    pixels = np.frombuffer(stream.read(x * y * z * dtype.itemsize), dtype).reshape(z, y, x)
    values: dict[str, list[str]] = {}
    if attributes:
        for entry in ElementTree.fromstring(attributes).iter("meta"):
            values[entry.findtext("name")] = [v.text or "" for v in entry.findall("value")]
    series, index, number = head[38], head[37], head[27]
    return Received(pixels, series, index, number, head[11:14], values)
