"""Files that somebody else wrote: opened without waiting, read within a limit, decoded and parsed.

Every reader of text or of bytes that are no voxels goes through here, so that a named pipe, a device, a
folder, a link to nowhere, a gigabyte where a sidecar should be, a byte that is not UTF-8 or a number of 5,000
digits is one line with file and fix, whatever the file is for. Nothing here knows what a content means.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from bids_qmri.errors import InputError, QmriError

MB = 2**20

SIDECAR_LIMIT = 32 * MB
"""Bytes of JSON beside an image: the largest that converters write, with all headers, have 10 MB."""

TABLE_LIMIT = 64 * MB
"""Bytes of a table of text: participants, regions, an arterial input."""

GRADIENT_LIMIT = 16 * MB
"""Bytes of b-values or directions: some 200,000 volumes."""

OPTIONS_LIMIT = 4 * MB
"""Bytes of a file of options, filters or priors, and of the card of a network."""

NETWORK_LIMIT = 512 * MB
"""Bytes of a network."""

DEEPEST = 64
"""Levels of nesting of a file; those of BIDS have 5."""

MOST_BITS = 1024
"""Bits of the largest whole number that a floating-point one could stand for."""

TOO_DEEP = f"is nested too deeply (more than {DEEPEST} levels)"

RESTORE = "restore the file from its source"

KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

WHY = {
    errno.EACCES: "its permissions forbid it; make it readable (chmod u+r, of a folder u+rx)",
    errno.EPERM: "its permissions forbid it; make it readable (chmod u+r, of a folder u+rx)",
    errno.ENAMETOOLONG: "its name is too long; rename it",
    errno.EIO: "the disk cannot read it; copy it from its source again",
    errno.ESTALE: "the network disk has lost it; try again",
}


def open_file(path: Path, *, needed: str = "a file", fix: str = RESTORE) -> BinaryIO:
    """Open a regular file for reading; nothing that could wait, or never end, is opened.

    Parameters
    ----------
    path
        The file.
    needed, fix
        For the message.

    Raises
    ------
    InputError
        It is missing, a link to nowhere or in a circle, no regular file, or may not be read.
    """
    try:
        # Looked at before it is opened, for opening alone does something to some devices ...
        _require_regular(path, path.stat().st_mode, needed, fix)
        stream = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unreadable(path, error, needed=needed, fix=fix) from error
    try:
        # ... and after, for names can change hands in between.
        _require_regular(path, os.fstat(stream).st_mode, needed, fix)
        return os.fdopen(stream, "rb")
    except BaseException:
        os.close(stream)
        raise


def _require_regular(path: Path, mode: int, needed: str, fix: str) -> None:
    if not stat.S_ISREG(mode):
        what = next((words for is_kind, words in KINDS if is_kind(mode)), "no regular file")
        raise InputError(f"is {what}, not a file", file=path, needed=needed, fix=fix)


def unreadable(path: Path, error: OSError, *, needed: str = "a file", fix: str = RESTORE) -> InputError:
    """Return what the system says of a file that cannot be opened or read, in words, with the fix."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) and _is_link(path):
        target = path.readlink()
        seen = f"cannot be opened: it is a link to {target}, which does not exist"
        if error.errno == errno.ELOOP:
            seen = f"cannot be opened: it is a link to {target} that leads back to itself"
        fix = "fetch the content (`git annex get`, `datalad get`) or mend the link"
        return InputError(seen, file=path, needed=needed, fix=fix)
    if error.errno == errno.ENOENT:
        return InputError("does not exist", file=path, needed=needed, fix=fix)
    why, _, mend = WHY.get(error.errno or 0, f"{error.strerror or error}; ").partition("; ")
    return InputError(f"cannot be opened ({why})", file=path, needed=needed, fix=mend or fix)


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a path is a folder that can be looked into; names from files may be no names at all."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, limit: int, *, needed: str = "a file", fix: str = RESTORE) -> bytes:
    """Return the content of a regular file of at most `limit` bytes, or raise as `open_file` does."""
    with open_file(path, needed=needed, fix=fix) as stream:
        try:
            size = os.fstat(stream.fileno()).st_size
            content = b"" if size > limit else stream.read(size + 1)
            # Files of the system have the size 0 and any content: what counts is what is read.
            if size < len(content) <= limit:
                content += stream.read(limit + 1 - len(content))
        except OSError as error:
            raise unreadable(path, error, needed=needed, fix=fix) from error
    if max(size, len(content)) > limit:
        seen = f"has {max(size, len(content)) / MB:,.0f} MB"
        raise InputError(
            seen, file=path, needed=f"{needed} of at most {limit / MB:g} MB", fix="look what it holds; " + fix
        )
    return content


def read_text(path: Path, limit: int, *, needed: str = "text in UTF-8", fix: str = RESTORE) -> str:
    """Return UTF-8 text, without a byte order mark, lines ended by one character; raises as `read_bytes`."""
    content = read_bytes(path, limit, needed=needed, fix=fix)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} is not UTF-8", file=path, needed=needed, fix=fix) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str, *, pairs: Callable[[list[tuple[str, Any]]], Any] = dict, **more: Any) -> Any:
    """Return what JSON text says; whole numbers too large for a computer word come as floating-point ones.

    Parameters
    ----------
    text
        The text.
    pairs
        Makes an object of its keys and values.
    more
        Of `json.loads`.

    Raises
    ------
    ValueError
        It is not JSON (`json.JSONDecodeError`), nested deeper than `DEEPEST`, or holds half a character or a
        whole number beyond all.
    """
    try:
        content = json.loads(text, object_pairs_hook=pairs, **{"parse_int": _whole} | more)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    # Few files have brackets enough, or escapes, to need a closer look.
    if text.count("[") + text.count("{") > DEEPEST:
        require_flat(content)
    if "\\ud" in text or "\\uD" in text:
        _require_characters(content)
    return content


def lossy_whole(digits: str) -> int | float:
    """Return a whole number; infinity if it has more digits than a floating-point number can.

    Python would take any number of digits as they are, and refuses more than 4,300.
    """
    return int(digits) if len(digits) < 19 else float(digits)


def _whole(digits: str) -> int | float:
    value = lossy_whole(digits)
    if math.isinf(value):
        raise ValueError(f"holds a whole number of {len(digits)} digits, which is more than any number here")
    return value


def require_flat(content: Any) -> None:
    """Raise a ValueError if lists and tables are nested deeper than `DEEPEST`; writers would fail at it."""
    level, depth = [content], 0
    while level := [part for one in level for part in _parts(one) if isinstance(part, list | dict)]:
        depth += 1
        if depth >= DEEPEST:
            raise ValueError(TOO_DEEP)


def require_spelled(content: Any) -> None:
    """Raise a ValueError if a whole number has so many digits that no message could spell it."""
    left = [content]
    while left:
        one = left.pop()
        # Hexadecimal ones are read without the limit that Python has for decimal ones.
        if isinstance(one, int) and one.bit_length() > MOST_BITS:
            raise ValueError(f"holds a whole number of {one.bit_length()} bits")
        left += _parts(one)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()


def require_object(content: Any) -> None:
    """Raise a ValueError if what was parsed is not keys with values."""
    if not isinstance(content, dict):
        raise ValueError(f"is a {type(content).__name__}, not an object")


def _require_characters(content: Any) -> None:
    try:
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("holds half a character (an escape \\ud8xx without its second half)") from None


def endless(content: Any) -> bool:
    """Whether a value, or one within it, is a number that is not finite."""
    if isinstance(content, float):
        return not math.isfinite(content)
    return any(map(endless, _parts(content)))


def parsed(parse: Callable[[str], Any], text: str, path: Path, *, needed: str, fix: str) -> Any:
    """Return what a parser makes of the text of a file.

    Raises
    ------
    InputError
        Whatever the parser raises; the message has its words on one line.
    """
    try:
        content = parse(text)
        require_flat(content)
        require_spelled(content)
    except QmriError:
        raise
    except RecursionError as error:
        raise InputError("is nested too deeply", file=path, needed=needed, fix=fix) from error
    # Parsers meet what their authors did not: a date in the year 0, a key that is a list, 5,000 digits.
    except Exception as error:
        raise InputError(f"cannot be read ({in_words(error)})", file=path, needed=needed, fix=fix) from error
    return content


def in_words(error: BaseException) -> str:
    """Return what an error of a library says, on one line of at most 300 characters."""
    text = " ".join(str(error).split()) or "no more is known"
    if "integer string conversion" in text:
        text = "a whole number has thousands of digits"
    text = text if len(text) <= 300 else text[:300] + " ..."
    # The words of these say nothing without their name.
    return text if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"


@contextmanager
def one_fault(
    file: Path | str, *, needed: str = "files as BIDS describes them", fix: str = ""
) -> Iterator[None]:
    """Make an InputError of whatever is raised within, so that it costs what is read there and nothing else.

    Parameters
    ----------
    file
        Named in the message where the error itself names none.
    needed, fix
        For the message.

    Raises
    ------
    InputError
        For anything that is not an error of this package.
    """
    try:
        yield
    except QmriError:
        raise
    except Exception as error:
        raise as_input_error(error, file, needed=needed, fix=fix) from error


def as_input_error(
    error: Exception, file: Path | str, *, needed: str = "files as in BIDS", fix: str = ""
) -> InputError:
    """Return an error as one of input: as it is if it is one, else in words; arguments as of `one_fault`."""
    fix = fix or "check the file and those that apply to it, or leave it out with --bids-filter-file"
    if isinstance(error, InputError):
        return error
    if isinstance(error, MemoryError):
        return InputError("needs more memory than there is", file=file, needed=needed, fix=fix)
    if isinstance(error, OSError):
        named = error.filename if isinstance(error.filename, str | os.PathLike) else file
        return unreadable(Path(named), error, needed=needed, fix=fix)
    kind = type(error).__name__
    seen = f"cannot be used ({kind}: {in_words(error).removeprefix(f'{kind}: ')})"
    return InputError(seen, file=file, needed=needed, fix=fix)
