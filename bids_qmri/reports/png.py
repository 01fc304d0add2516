"""PNG files of small pictures: one byte a pixel with a palette, or three without."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED, _RGB = 3, 2
_PLAIN, _UP = 0, 2
"""How a row is written: as it is, or as its difference from the row above."""

Pixels = npt.NDArray[np.uint8]


def encode_indexed(pixels: Pixels, palette: Pixels, *, transparent: bool = False) -> bytes:
    """Return a picture of indices into a palette.

    Parameters
    ----------
    pixels
        Indices, shape (rows, columns).
    palette
        Red, green and blue by index, shape (n, 3), n up to 256.
    transparent
        Show what lies behind where the index is 0.
    """
    clear = _chunk(b"tRNS", b"\0") if transparent else b""
    return _encode(pixels, _INDEXED, _chunk(b"PLTE", palette.tobytes()) + clear)


def encode_rgb(pixels: Pixels) -> bytes:
    """Return a picture of red, green and blue, shape (rows, columns, 3)."""
    return _encode(pixels.reshape(len(pixels), -1), _RGB, b"", columns=pixels.shape[1])


def _encode(rows: Pixels, colour_type: int, palette: bytes, columns: int | None = None) -> bytes:
    header = struct.pack(">IIBBBBB", columns or rows.shape[1], len(rows), 8, colour_type, 0, 0, 0)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    # Noisy maps shrink more as they are, smooth ones as differences: which it is takes no time to try.
    data = min((_deflate(rows, _PLAIN), _deflate(rows - above, _UP)), key=len)
    return b"".join(
        (_SIGNATURE, _chunk(b"IHDR", header), palette, _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    )


def _deflate(rows: Pixels, filter_type: int) -> bytes:
    marked = np.empty((rows.shape[0], rows.shape[1] + 1), dtype=np.uint8)
    marked[:, 0], marked[:, 1:] = filter_type, rows
    return bytes(isal_zlib.compress(marked.tobytes(), isal_zlib.ISAL_BEST_COMPRESSION))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
