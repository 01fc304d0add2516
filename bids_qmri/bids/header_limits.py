"""What the first bytes of a NIfTI file promise, held against the file before anything is parsed or unpacked.

A kilobyte of gzip can promise terabytes, an offset can point behind the end of the file, and a library that
believes either takes the memory first. Numbers here are read as they stand, without a library.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

from bids_qmri.errors import InputError
from bids_qmri.files import MB, RESTORE

LARGEST = 2**48
"""Bytes of an image; no disk that it could be unpacked to has more."""

MOST_EXTENSIONS = 64 * MB
"""Bytes between header and voxels, which are read at once."""

DEFLATE = 1032
"""Most bytes that one byte of a gzip stream can stand for."""

SHORTEST_HEADER, LONGEST_HEADER = 348, 540


@dataclass(frozen=True)
class _Layout:
    """Where numbers stand in one version of the format, as `struct` spells them without byte order."""

    length: int
    dim: tuple[int, str]
    datatype: int
    offset: tuple[int, str]
    scaling: tuple[int, str]
    magic: tuple[int, tuple[bytes, ...]]


LAYOUTS = {
    348: _Layout(348, (40, "8h"), 70, (108, "f"), (112, "2f"), (344, (b"n+1", b"ni1"))),
    540: _Layout(540, (16, "8q"), 12, (168, "q"), (176, "2d"), (4, (b"n+2", b"ni2"))),
}

SIZES = {2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8, 2304: 4}
"""Bytes of a voxel by code of its type; types that are missing here are refused by name later."""


def refuse_impossible(path: Path, start: bytes, size: int, *, packed: bool) -> int:
    """Refuse a header whose numbers cannot be true of its file.

    Parameters
    ----------
    path
        The file.
    start
        Its first `LONGEST_HEADER` bytes, or all of a shorter header, uncompressed.
    size
        Of the file, in bytes.
    packed
        Whether the file is a gzip stream.

    Returns
    -------
    Bytes before the first voxel, which hold header and extensions.

    Raises
    ------
    InputError
        Naming the field of the header.
    """
    found = [(order, LAYOUTS[n]) for order in "<>" if (n := _length(start, order)) in LAYOUTS]
    if not found or len(start) < found[0][1].length:
        seen = "ends within its header" if found else "does not begin with a NIfTI header"
        raise InputError(seen, file=path, needed="a NIfTI image", fix=RESTORE)
    order, layout = found[0]
    _require_one_file(path, start, layout)
    most = size * DEFLATE if packed else size
    offset = _numbers(start, order, layout.offset)[0]
    _check_offset(path, offset, layout, most)
    # What is not packed must have its size to the byte, which its reader checks.
    _check_size(path, start, order, layout, most if packed else LARGEST)
    slope, intercept = _numbers(start, order, layout.scaling)
    if math.isinf(slope) or (not math.isfinite(intercept) and math.isfinite(slope) and slope):
        raise InputError(
            f"is {slope:g}, and the intercept {intercept:g}",
            file=path,
            field="scl_slope",
            needed="finite numbers, or a slope of 0 for values as they are stored",
            fix=RESTORE,
        )
    return int(offset) or layout.length + 4


def refuse_extensions(path: Path, before: bytes) -> None:
    """Refuse extensions of a header that are longer than the room they are in, which would be read at once.

    Parameters
    ----------
    path
        The file.
    before
        All bytes before the first voxel, of a header that passed `refuse_impossible`.

    Raises
    ------
    InputError
        Naming the size that cannot be.
    """
    order, length = next((order, n) for order in "<>" if (n := _length(before, order)) in LAYOUTS)
    if before[length : length + 1] in (b"", b"\0"):
        return
    place = length + 4
    while place + 8 <= len(before):
        size = struct.unpack_from(f"{order}i", before, place)[0]
        if not 8 < size <= len(before) - place:
            raise InputError(
                f"an extension of {size:,} bytes begins {len(before) - place:,} bytes before the voxels",
                file=path,
                field="extension",
                needed="extensions that end before the voxels",
                fix="save the image anew without its extensions",
            )
        place += size


def _length(start: bytes, order: str) -> int:
    return int(struct.unpack_from(f"{order}i", start)[0]) if len(start) >= 4 else 0


def _numbers(start: bytes, order: str, where: tuple[int, str]) -> tuple[float, ...]:
    return struct.unpack_from(order + where[1], start, where[0])


def _require_one_file(path: Path, start: bytes, layout: _Layout) -> None:
    """Refuse the format of two files, and headers of the right length alone."""
    place, magics = layout.magic
    magic = start[place : place + 3]
    if magic == magics[1]:
        raise InputError(
            "is one half of a pair of header and image", file=path, field="magic", needed="one file (n+1)",
            fix="convert it to one .nii.gz file",
        )  # fmt: skip
    if magic != magics[0]:
        raise InputError(f"is {magic!r}", file=path, field="magic", needed=repr(magics[0]), fix=RESTORE)


def _check_offset(path: Path, offset: float, layout: _Layout, most: int) -> None:
    # 0 stands for the smallest offset there is; some programs write it.
    needed = f"{layout.length + 4} bytes or more, within the file"
    whole = math.isfinite(offset) and offset == int(offset)
    if not whole or (offset != 0 and offset < layout.length) or offset > most:
        raise InputError(f"is {offset:g}", file=path, field="vox_offset", needed=needed, fix=RESTORE)
    if offset > MOST_EXTENSIONS:
        raise InputError(
            f"is {offset / MB:,.0f} MB",
            file=path,
            field="vox_offset",
            needed=f"extensions of at most {MOST_EXTENSIONS / MB:g} MB",
            fix="save the image anew without its extensions",
        )


def _check_size(path: Path, start: bytes, order: str, layout: _Layout, most: int) -> None:
    """Refuse sizes that no file of this length can hold; whether they fit to the byte is seen later."""
    ndim, *sizes = _numbers(start, order, layout.dim)
    if not 1 <= ndim <= 7:
        raise InputError(f"is {ndim:g}", file=path, field="dim[0]", needed="1 to 7 axes", fix=RESTORE)
    sizes = sizes[: int(ndim)]
    if min(sizes) < 1:
        listed = list(map(int, sizes))
        raise InputError(
            f"has the size {listed}", file=path, field="dim", needed="sizes of 1 or more", fix=RESTORE
        )
    code = struct.unpack_from(f"{order}h", start, layout.datatype)[0]
    promised = math.prod(map(int, sizes)) * SIZES.get(code, 1)
    if promised > min(most, LARGEST):
        size = " x ".join(str(int(n)) for n in sizes)
        limit = f"{most:,} bytes, all that a file of this length can hold"
        raise InputError(
            f"promises {promised:,} bytes ({size})",
            file=path,
            field="dim",
            needed=f"at most {limit if most <= LARGEST else f'{LARGEST:,} bytes'}",
            fix=RESTORE,
        )
