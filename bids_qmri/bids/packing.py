"""Gzip streams, read and written by ISA-L: the format and the checks of zlib, at a multiple of its speed."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO, cast

from isal import igzip, isal_zlib

DAMAGE: tuple[type[Exception], ...] = (
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
    cast("type[Exception]", isal_zlib.error),
)
"""What is raised of a stream that is cut short, or whose checksum or length is not that of its content."""

LEVEL = 1
"""Of 0 to 3: maps are noise to a compressor, more effort makes them hardly smaller."""


def open_packed(path: Path) -> IO[bytes]:
    """Open the content of a gzip file; reading to its end verifies checksum and length."""
    return cast("IO[bytes]", igzip.open(path, "rb"))


def pack(content: bytes) -> bytes:
    """Return a gzip stream, the same bytes for the same content."""
    return bytes(igzip.compress(content, compresslevel=LEVEL, mtime=0))


def unpack(packed: bytes) -> bytes:
    """Return the content of a gzip stream, verified; raises one of `DAMAGE`."""
    return bytes(igzip.decompress(packed))
