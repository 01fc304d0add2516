"""Leases: one run at a time works on a participant, and one whose machine died does not keep it for ever.

A lease is a file in the output dataset that names its holder, who renews it while it works. Another run
takes it over at once if the holder was a process of this machine that has ended, else after `EXPIRY` seconds
without renewal. Whoever loses a lease loses the folder that the results wait in (`staging`), so that a run
that was only suspended cannot put its results in place afterwards.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_qmri.ending import at_signal
from bids_qmri.errors import BusyError, InputError
from bids_qmri.files import OPTIONS_LIMIT, parse_json, read_text
from bids_qmri.owner import Owner, owner_of, this_process

FOLDER = ".bids_qmri"
"""Of leases and of results that are not in place yet, in the output dataset."""

EXPIRY = 300.0
"""Seconds after which a lease that nobody renews is over."""

RENEWAL = 30.0
"""Seconds between renewals."""

_held: set[Lease] = set()


@dataclass(frozen=True, eq=False)
class Lease:
    """The right of one run to work on one participant.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    participant
        Label without ``sub-``.
    run_id
        Name of the run.
    """

    output_dir: Path
    participant: str
    run_id: str
    owner: Owner = field(default_factory=this_process)

    @property
    def path(self) -> Path:
        """The file."""
        return lease_path(self.output_dir, self.participant)

    @property
    def staging(self) -> Path:
        """Folder of this run for results that are not in place yet."""
        return staging_path(self.output_dir, self.participant) / f"{self.run_id}.{self.owner.token}"

    def is_held(self) -> bool:
        """Tell whether nobody has taken the lease over."""
        return read_lease(self.path).get("Run") == self.run_id

    def release(self) -> None:
        """Give the lease back."""
        _held.discard(self)
        if self.is_held():
            with suppress(OSError):
                self.path.unlink()
                # Gone with the last participant in work.
                self.path.parent.rmdir()


def lease_path(output_dir: Path, participant: str) -> Path:
    """Return where the lease of a participant lies."""
    return output_dir / FOLDER / f"sub-{participant}.json"


def staging_path(output_dir: Path, participant: str) -> Path:
    """Return the folder in which results of a participant wait, a folder in it for each run."""
    return output_dir / FOLDER / f"sub-{participant}"


def take(output_dir: Path, participant: str, run_id: str) -> Lease:
    """Take the lease of a participant.

    Parameters
    ----------
    output_dir, participant, run_id
        As of `Lease`.

    Raises
    ------
    BusyError
        Another run holds it.
    OSError
        Nothing can be written there.
    """
    lease = Lease(output_dir, participant, run_id)
    lease.path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(3):
        if _create(lease):
            _held.add(lease)
            # Otherwise a run on another machine would have to wait until it is over.
            at_signal("leases", release_all)
            return lease
        found = read_lease(lease.path)
        if not is_over(lease.path, found):
            raise _busy(lease, found)
        _remove(lease.path, found)
    raise _busy(lease, read_lease(lease.path))


def _create(lease: Lease) -> bool:
    fields = {
        "Run": lease.run_id,
        "Owner": lease.owner.token,
        "Host": platform.node(),
        "Pid": lease.owner.pid,
        "Since": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    try:
        with lease.path.open("x", encoding="utf-8") as stream:
            stream.write(json.dumps(fields) + "\n")
    except FileExistsError:
        return False
    except FileNotFoundError:
        # The folder went with another run's last lease.
        lease.path.parent.mkdir(parents=True, exist_ok=True)
        return False
    return True


def read_lease(path: Path) -> Mapping[str, Any]:
    """Return what a lease says; nothing if it is not there, or not yet written."""
    try:
        content = parse_json(read_text(path, OPTIONS_LIMIT))
    except (InputError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_over(path: Path, found: Mapping[str, Any]) -> bool:
    """Tell whether the holder of a lease has ended, or has given no sign of life for too long."""
    owner = owner_of(str(found.get("Owner", "")))
    lives = None if owner is None else owner.lives()
    if lives is not None:
        return not lives
    return (age := silence(path)) is None or age > EXPIRY


def silence(path: Path) -> float | None:
    """Return seconds since a lease was renewed, by the clock of its file system; None if it is gone."""
    probe = path.with_name(f".clock.{this_process().token}")
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    except OSError:
        now = time.time()  # the dataset may be one that is only read
    try:
        return now - path.stat().st_mtime
    except OSError:
        return None


def _remove(path: Path, expected: Mapping[str, Any]) -> None:
    """Remove a lease that is over, unless another run was faster and has taken it."""
    aside = path.with_name(f".over.{this_process().token}.{path.name}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if read_lease(aside) != expected:
        with suppress(OSError):
            os.link(aside, path)
    aside.unlink(missing_ok=True)


def _busy(lease: Lease, found: Mapping[str, Any]) -> BusyError:
    host, pid, since = (found.get(key, "?") for key in ("Host", "Pid", "Since"))
    return BusyError(
        f"sub-{lease.participant} is in work by another run (process {pid} on {host}, since {since})",
        file=lease.path,
        needed="one run per participant and output folder at a time",
        fix=f"wait until it has ended; a run that died is noticed at once on its machine, elsewhere after "
        f"{EXPIRY:.0f} s",
    )


@contextmanager
def kept_alive(folder: Path) -> Iterator[None]:
    """Renew all leases of this process, and the time of its scratch folder, while it lasts."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEWAL):
            for path in (folder, *(lease.path for lease in tuple(_held) if lease.is_held())):
                with suppress(OSError):
                    os.utime(path)

    thread = threading.Thread(target=renew, name="leases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def release_all() -> None:
    """Give back every lease of this process, which is about to end."""
    for lease in tuple(_held):
        lease.release()
