"""The folders of a dataset that one participant needs, listed; what in them cannot be read is said.

Only the root and the participant's own folder are listed, so that one of ten thousand participants costs no
more than the only one. A folder without permission, a link in a circle or a file where a folder should be is
named: its images must not be missing as if they had never been scanned.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from bids_qmri.errors import InputError
from bids_qmri.files import unreadable

FILES = (".nii.gz", ".nii", ".json", ".tsv", ".bval", ".bvec")
"""Extensions of what must be files; a folder of such a name is listed as one, and its reader says so."""

FOLDERS = re.compile(r"anat|dwi|perf|fmap|func|dce|ses-[0-9A-Za-z+]+")
"""Names of what must be folders."""

ELSEWHERE = re.compile(r"derivatives|sourcedata|code|\.")
"""What lies at the root of a dataset and is not of it; beginnings of names."""

NO_TEXT = re.compile("[\udc80-\udcff]")
"""Stands for bytes of a name that are not UTF-8."""

LISTED = "a folder that can be listed"
READABLE = "make it readable (chmod u+rx), or fetch it again"

Listed = Path | InputError


def list_files(root: Path, participant: str) -> tuple[list[Path], list[InputError]]:
    """List the files of a dataset that a participant may use: not those of others, nor of nested datasets.

    Parameters
    ----------
    root
        The dataset.
    participant
        Label without ``sub-``.

    Returns
    -------
    Files, sorted, and what is wrong with folders and names of the participant.

    Raises
    ------
    InputError
        The dataset cannot be listed.
    """
    files: list[Path] = []
    faults: list[InputError] = []
    own = f"sub-{participant}"
    above = (os.path.realpath(root),)
    for entry in _entries(root):
        # At the root alone: a study may have ten thousand participants.
        of_others = entry.name.startswith("sub-") and entry.name != own
        if of_others or ELSEWHERE.match(entry.name) or NO_TEXT.search(entry.name):
            continue
        path = root / entry.name
        if entry.name == own and not _is_folder(entry):
            faults.append(_no_folder(path))
        elif not _is_folder(entry):
            files.append(path)
        else:
            for found in _below(path, above):
                if isinstance(found, Path):
                    files.append(found)
                elif entry.name == own:  # other folders may hold what they like
                    faults.append(found)
    return sorted(files), faults


def _below(folder: Path, above: tuple[str, ...]) -> Iterator[Listed]:
    """Yield the files in a folder and those below it, and what is wrong; `above` are folders that hold it."""
    above = (*above, os.path.realpath(folder))
    try:
        entries = _entries(folder)
    except InputError as error:
        yield error
        return
    for entry in entries:
        path = folder / entry.name
        if NO_TEXT.search(entry.name):
            yield InputError(
                "has a name that is not UTF-8", file=path, needed="a name of BIDS", fix="rename it"
            )
        elif not _is_folder(entry):
            yield _no_folder(path) if FOLDERS.fullmatch(entry.name) else path
        elif entry.name.endswith(FILES) or path.suffix == ".zarr":
            yield path
        elif entry.is_symlink() and os.path.realpath(path) in above:
            seen = f"is a link to {path.readlink()}, a folder that it lies in itself"
            yield InputError(seen, file=path, needed="a folder of its own", fix="remove the link")
        else:
            yield from _below(path, above)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        # Forbidden where a folder may be listed, and nothing in it opened; `Path` would drop the dot.
        os.stat(f"{folder}/.")  # noqa: PTH116
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(folder, error, needed=LISTED, fix=READABLE) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _no_folder(path: Path) -> InputError:
    if path.is_symlink():
        seen = f"is a link to {path.readlink()}, where no folder is"
        fix = "fetch the content (`git annex get`, `datalad get`) or mend the link"
    else:
        seen, fix = "is a file", "restore the folder of that name, or remove the file"
    return InputError(seen, file=path, needed="a folder", fix=fix)
