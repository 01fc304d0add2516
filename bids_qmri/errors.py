"""What can go wrong, as one exception class per exit code.

Every message is one line that names the file, the field, what was seen, what is needed and the fix.
Raised everywhere, caught in one place (`cli/run.py`), which turns the class into the exit code.
"""

from __future__ import annotations

import errno
from pathlib import Path


class QmriError(Exception):
    """Base of all errors a user can cause or mend.

    Parameters
    ----------
    seen
        What was found, as a clause: ``"RepetitionTime is 15"``.
    file
        The file at fault, if one is.
    field
        The sidecar key, column or command-line flag at fault, if one is.
    needed
        What would have been right, with its unit: ``"a repetition time in seconds, at most 1"``.
    fix
        What the user can do next: ``"divide the value by 1000 or pass --t10"``.
    """

    exit_code = 70

    def __init__(
        self,
        seen: str,
        *,
        file: Path | str | None = None,
        field: str | None = None,
        needed: str = "",
        fix: str = "",
    ) -> None:
        self.seen, self.file, self.field = seen, file, field
        self.needed, self.fix = needed, fix
        where = [str(part) for part in (file, field) if part is not None]
        sentences = [seen.rstrip(".")]
        sentences += [f"needed: {needed.rstrip('.')}"] if needed else []
        sentences += [f"fix: {fix.rstrip('.')}"] if fix else []
        text = ": ".join([*where, "; ".join(sentences)]) + "."
        super().__init__(printable(" ".join(text.split())))

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip between processes with every field."""
        return _rebuild, (type(self), self.seen, self.file, self.field, self.needed, self.fix)


def printable(text: str) -> str:
    """Return text with escapes for what no terminal and no log should get: control codes, bytes of names."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _rebuild(
    kind: type[QmriError], seen: str, file: str | None, field: str | None, needed: str, fix: str
) -> QmriError:
    return kind(seen, file=file, field=field, needed=needed, fix=fix)


class InputError(QmriError):
    """A file or value of one participant is unusable; other participants go on (exit code 1)."""

    exit_code = 1


def caution(seen: str, *, file: Path | str, field: str, needed: str, fix: str) -> str:
    """Return a warning in the words of an error, with the name of the file alone."""
    return str(InputError(seen, file=Path(file).name, field=field, needed=needed, fix=fix))


class UsageError(QmriError):
    """The command line asks for something impossible (exit code 2)."""

    exit_code = 2


class NoInputError(QmriError):
    """Nobody in the dataset has anything that can be fitted (exit code 65)."""

    exit_code = 65


class BusyError(QmriError):
    """Another run is at work on a participant, who is left to it (exit code 75: try again later)."""

    exit_code = 75


class InternalError(QmriError):
    """A promise of our own code is broken (exit code 70)."""

    exit_code = 70


class MachineError(QmriError):
    """Disk or memory failed one piece of work; nothing is wrong with its input (exit code 1)."""

    exit_code = 1


_FIXES = {
    errno.ENOSPC: "free space on that disk, or choose another OUTPUT_DIR or --work-dir",
    errno.EDQUOT: "free space in your quota, or choose another OUTPUT_DIR or --work-dir",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or use fewer --nprocs",
    errno.EROFS: "choose an OUTPUT_DIR and a --work-dir that can be written to",
    errno.EACCES: "give this user the right to read and write there",
    errno.EPERM: "give this user the right to read and write there",
}


def of_machine(error: BaseException) -> MachineError | None:
    """Return what disk or memory did, as an error that says the fix; None for anything else."""
    if isinstance(error, MachineError):
        return error
    if isinstance(error, MemoryError):
        return MachineError(
            f"there was not enough memory ({error or 'none was granted'})",
            needed="memory for one block of voxels and the maps",
            fix="use fewer --nprocs, or give the run more memory",
        )
    if not isinstance(error, OSError):
        return None
    return MachineError(
        error.strerror or str(error) or type(error).__name__,
        file=error.filename,
        needed="files that can be read and written",
        fix=_FIXES.get(error.errno or 0, "check the disk, then run again"),
    )
