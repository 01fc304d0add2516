"""Fingerprints: of what is read for a participant, of what was written, of the software, of options."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bids_qmri import __version__
from bids_qmri.errors import printable

IMAGE_FOLDERS = ("anat", "dwi", "fmap", "perf")
"""Of a participant, whose images are hashed; of others, such as func, only tables and sidecars are."""

TEXTS = (".json", ".bval", ".bvec", ".tsv")
NOT_READ = ("participants.tsv", "participants.json", "dataset_description.json")
"""At the root of a dataset: they say nothing about an image."""

OF_SOFTWARE = (".py", ".yaml", ".json", ".toml", ".md")
"""Files of the package that decide what is computed; cards of networks hold the hashes of their weights."""

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


def hash_inputs(datasets: Mapping[str, Path], participant: str) -> dict[str, str]:
    """Return the hash of every file that may be read for a participant.

    Parameters
    ----------
    datasets
        Roots by name: the raw dataset as ``raw``, derivatives.
    participant
        Label without ``sub-``.

    Returns
    -------
    dict
        SHA-256 by ``name:path``, the path relative to the root.
    """
    found: dict[str, str] = {}
    for name, root in sorted(datasets.items()):
        found |= {f"{name}:{file}": value for file, value in _of_root(root)}
        for path in _walk(root / f"sub-{participant}", set()):
            relative = path.relative_to(root)
            if path.suffix in TEXTS or any(part in IMAGE_FOLDERS for part in relative.parts[1:-1]):
                found[f"{name}:{printable(relative.as_posix())}"] = hash_file(path)
            else:
                found[f"{name}:{printable(relative.as_posix())}"] = "not read"
    return found


@cache
def _of_root(root: Path) -> tuple[tuple[str, str], ...]:
    """Return files at the root of a dataset, which its participants inherit, once for all of them."""
    with os.scandir(root) as entries:
        names = sorted(
            entry.name for entry in entries if entry.name.endswith(TEXTS) and entry.name not in NOT_READ
        )
    return tuple((printable(name), hash_file(root / name)) for name in names)


def _walk(folder: Path, above: set[str]) -> Iterator[Path]:
    """Yield files in a folder and below, links to folders followed once, in the order of names."""
    place = os.path.realpath(folder)
    if place in above:
        return
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in listed:
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            yield from _walk(Path(entry.path), above | {place})
        else:
            yield Path(entry.path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself, or a folder that may not be entered
        return False


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
