"""Fingerprints: of what is read for a participant, of what was written, of the software, of options."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from bids_qmri import __version__
from bids_qmri.bids.folders import list_files
from bids_qmri.errors import printable

OTHER_FOLDERS = ("beh", "eeg", "func", "ieeg", "meg", "micr", "motion", "mrs", "nirs", "pet", "phenotype")
"""Of a participant, with data of which nothing is read here; files of any other folder may be."""

TEXTS = (".json", ".bval", ".bvec", ".tsv")
NOT_READ = ("participants.tsv", "participants.json", "dataset_description.json")
"""At the root of a dataset: they say nothing about an image."""

OF_SOFTWARE = (".py", ".yaml", ".json", ".toml", ".md")
"""Files of the package that decide what is computed; cards of networks hold the hashes of their weights."""

OTHER_KINDS = (
    *("scans", "sessions", "bold", "sbref", "events", "physio", "stim"),
    *("channels", "electrodes", "coordsystem", "eeg", "meg", "ieeg", "nirs"),
)
"""Suffixes of tables and sidecars that say nothing about images that are read here."""

NO_FILE = "no file"


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a regular file; words where there is none or it cannot be read."""
    try:
        if not path.is_file():
            return NO_FILE
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable ({error.strerror})"


def fingerprint(path: Path) -> str:
    """Return the size in bytes and the SHA-256 of a file, ``SIZE:HASH``."""
    found = hash_file(path)
    return found if " " in found else f"{path.stat().st_size}:{found}"


def hash_of(value: Any) -> str:
    """Return the SHA-256 of plain data, dataclasses, paths and arrays; equal content, equal hash."""
    text = json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        own = {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
        return {"": type(value).__qualname__, **own}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def hash_inputs(datasets: Mapping[str, Path], participant: str, *, read: bool = True) -> dict[str, str]:
    """Return the hash of every file that may be read for a participant.

    Parameters
    ----------
    datasets
        Roots by name: the raw dataset as ``raw``, derivatives.
    participant
        Label without ``sub-``.
    read
        False lists names alone, with empty texts.

    Returns
    -------
    dict
        SHA-256 by ``name:path``, the path relative to the root.
    """
    found: dict[str, str] = {}
    for name, root in sorted(datasets.items()):
        files, faults = list_files(root, participant)
        for path in files:
            relative = path.relative_to(root)
            how = _how_read(path, relative, f"sub-{participant}")
            if how is not None:
                found[f"{name}:{printable(relative.as_posix())}"] = how(path) if read else ""
        found |= {f"{name}: {fault}": NO_FILE for fault in faults}
    return found


def _how_read(path: Path, relative: Path, own: str) -> Callable[[Path], str] | None:
    """Return what hashes a file that may be read; None for one that says nothing about images read here."""
    folders = relative.parts[1:-1]
    # Other kinds of data have folders and suffixes of their own.
    if any(part in OTHER_FOLDERS for part in folders):
        return None
    if relative.parts[0] == own and any(not part.startswith("ses-") for part in folders):
        return hash_file
    if path.name.partition(".")[0].rpartition("_")[2] in OTHER_KINDS or relative.as_posix() in NOT_READ:
        return None
    # What lies above or beside: tables and sidecars for all, and images that are named after the participant.
    image = path.name.startswith(f"{own}_") and path.name.endswith((".nii", ".nii.gz"))
    return _hash_shared if image or path.suffix in TEXTS else None


def _hash_shared(path: Path) -> str:
    """Return the hash of a file that many participants may read, which is computed once until it changes."""
    try:
        state = path.stat()
    except OSError:
        return NO_FILE
    return _hash_in_state(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(10_000)
def _hash_in_state(path: Path, *_: int) -> str:
    return hash_file(path)


@cache
def software() -> str:
    """Return the version and a hash of all code, tables and cards of networks of this package."""
    root = Path(__file__).parents[1]
    total = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in OF_SOFTWARE:
            total.update(path.relative_to(root).as_posix().encode())
            total.update(path.read_bytes())
    return f"{__version__} {total.hexdigest()[:16]}"
