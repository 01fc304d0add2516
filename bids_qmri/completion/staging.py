"""Put all results of a participant in place by one switch.

Fits write into folders of their own (`fit_folder`). When all have ended, the folder that the participant
will have is put together beside the old one (`assemble`), of links to what stays and to what was fitted. Then
the two are exchanged (`switch`), so that nobody ever sees maps of two runs side by side. Everything happens
on the file system of the output dataset.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from bids_qmri.completion.lease import FOLDER, Lease, staging_path, take
from bids_qmri.errors import BusyError, InputError
from bids_qmri.owner import owner_of

NEW, OLD, FITS = "new", "old", "fits"

_DAY = 86400.0
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def fit_folder(lease: Lease, name: str) -> Path:
    """Return the root below which a fit writes what will stand in the output dataset."""
    return lease.staging / FITS / name.replace(" ", "_")


def new_root(lease: Lease) -> Path:
    """Return the root of what will take its place: the participant's folder, and pages beside it."""
    return lease.staging / NEW


def prepare(lease: Lease) -> None:
    """Clear what earlier runs of the participant left unfinished, and make the folder of this run.

    Raises
    ------
    InputError
        Something that is no folder stands where the participant's folder goes.
    OSError
        Nothing can be written there.
    """
    folder = staging_path(lease.output_dir, lease.participant)
    final = lease.output_dir / f"sub-{lease.participant}"
    if os.path.lexists(final) and not final.is_dir():
        raise InputError(
            "is no folder", file=final, needed="the folder of the participant's results", fix="move it away"
        )
    for other in sorted(folder.iterdir()) if folder.is_dir() else ():
        # Where folders cannot be exchanged, a run may have died between the two halves of its switch.
        before = other / OLD / final.name
        if before.is_dir() and not final.exists():
            before.rename(final)
        # Renamed first: a run that wakes up must not find it any more.
        aside = other.with_name(f".over.{other.name}")
        if not other.name.startswith(".over."):
            other.rename(aside)
        shutil.rmtree(aside if aside.exists() else other, ignore_errors=True)
    lease.staging.mkdir(parents=True)


def assemble(
    lease: Lease, leave_out: Collection[str], fits: Collection[str], shared: Collection[str] = ()
) -> Path:
    """Put together the folder that the participant will have, and return the root that holds it.

    Parameters
    ----------
    lease
        Of the participant.
    leave_out
        Files of the old folder that do not stay, relative to the output dataset.
    fits
        Names of fits whose results come in.
    shared
        Files that several fits of an acquisition may bring, relative to the output dataset: the last counts.
    """
    name = f"sub-{lease.participant}"
    root, old = new_root(lease), lease.output_dir / name
    # There if a process was killed in the middle of this.
    shutil.rmtree(root, ignore_errors=True)
    (root / name).mkdir(parents=True)
    for path in _files(old) if old.is_dir() else ():
        relative = path.relative_to(lease.output_dir)
        if relative.as_posix() not in leave_out and not path.name.endswith(".part"):
            _link(path, root / relative)
    for fit in fits:
        source = fit_folder(lease, fit)
        for path in _files(source) if source.is_dir() else ():
            relative = path.relative_to(source)
            if relative.as_posix() in shared:
                (root / relative).unlink(missing_ok=True)
            _link(path, root / relative)
    return root


def switch(lease: Lease) -> None:
    """Put the new folder of the participant in place of the old one.

    Raises
    ------
    BusyError
        The lease was lost: another run has taken the participant over; nothing of this one is put in place.
    """
    if not lease.is_held():
        raise _lost(lease)
    name = f"sub-{lease.participant}"
    root, final = new_root(lease), lease.output_dir / name
    _sync(root / name)
    try:
        _exchange(root / name, final, lease.staging / OLD)
    except FileNotFoundError as error:
        raise _lost(lease) from error
    _sync(lease.output_dir)


def place_pages(lease: Lease) -> None:
    """Put the new pages of the participant in place of the old ones.

    Raises
    ------
    OSError
        Something else stands there.
    """
    for page in sorted(new_root(lease).glob("*.html")):
        page.replace(lease.output_dir / page.name)


def clear(lease: Lease) -> None:
    """Remove what this run staged."""
    shutil.rmtree(lease.staging, ignore_errors=True)
    with suppress(OSError):
        lease.staging.parent.rmdir()


def _lost(lease: Lease) -> BusyError:
    return BusyError(
        f"sub-{lease.participant} was taken over by another run while this one was suspended or cut off",
        file=lease.path,
        needed="one run per participant and output folder at a time",
        fix="nothing of this run was put in place; see what the other one wrote",
    )


def _exchange(new: Path, final: Path, aside: Path) -> None:
    """Exchange two folders, in one step where the file system can; else the old one steps aside first."""
    if not final.exists():
        new.rename(final)
        return
    if _rename_exchange(new, final):
        return
    if not new.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(new))
    aside.mkdir()
    final.rename(aside / final.name)
    new.rename(final)


def _rename_exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where that does not exist."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(one))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.EMLINK, errno.ENOSYS):
            raise
        shutil.copy2(path, target, follow_symlinks=False)


def _sync(folder: Path) -> None:
    """Make a folder's names durable, as far as the file system knows how."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def clear_remains(output_dir: Path, run_id: str) -> None:
    """Remove what runs that have ended left: leases, results that never took their place, unfinished files.

    Of other machines' processes only unfinished files older than a day go, and leases that are over.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    run_id
        Name of the run that cleans.
    """
    names = {path.name.partition(".")[0] for path in (output_dir / FOLDER).glob("sub-*")}
    for label in sorted(name.removeprefix("sub-") for name in names):
        with suppress(BusyError, OSError):
            lease = take(output_dir, label, run_id)
            try:
                prepare(lease)
                clear(lease)
            finally:
                lease.release()
    for folder in (output_dir, output_dir / "logs", output_dir / FOLDER):
        for path in folder.glob(".*") if folder.is_dir() else ():
            if path.name.endswith(".part") or path.name.startswith((".clock.", ".over.")):
                _remove_if_left(path)


def _remove_if_left(path: Path) -> None:
    with suppress(OSError):
        owner = owner_of(path.name)
        lives = None if owner is None else owner.lives()
        if lives is None:
            lives = time.time() - path.stat().st_mtime < _DAY
        if not lives:
            path.unlink()
