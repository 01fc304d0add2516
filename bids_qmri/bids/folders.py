"""The folders of one participant, looked into before anything is listed: what cannot be read is said.

A listing that meets a folder without permission, a link in a circle or a folder where an image should be
passes over it without a word, and its images are missing as if they had never been scanned.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from bids_qmri.errors import InputError
from bids_qmri.files import one_fault, unreadable

FILES = (".nii.gz", ".nii", ".json", ".tsv", ".bval", ".bvec")
"""Extensions of what must be files."""

FOLDERS = re.compile(r"anat|dwi|perf|fmap|func|dce|ses-[0-9A-Za-z+]+")
"""Names of what must be folders."""

NO_TEXT = re.compile("[\udc80-\udcff]")
"""Stands for bytes of a name that are not UTF-8."""

LISTED = "a folder that can be listed"
READABLE = "make it readable (chmod u+rx), or fetch it again"


def look(root: Path, participant: str) -> tuple[list[InputError], list[re.Pattern[str]], list[Path]]:
    """Look into the folders of one participant.

    Parameters
    ----------
    root
        The dataset.
    participant
        Label without ``sub-``.

    Returns
    -------
    What is wrong; patterns of paths from the root, ``/`` first, that a listing must leave out; and folders
    with names of files, whose readers will say so.
    """
    files: list[Path] = []
    faults: list[InputError] = []
    left_out = [NO_TEXT]
    top = root / f"sub-{participant}"
    if not os.path.lexists(top):
        return faults, left_out, files
    try:
        with one_fault(top, needed=LISTED, fix=READABLE):
            if not top.is_dir():
                raise _no_folder(top)
    except InputError as error:
        return [error], left_out, files
    for fault, path in _faults(top, (os.path.realpath(top),)):
        if fault is None:
            files.append(path)
        else:
            faults.append(fault)
        left_out.append(re.compile(f"^/{re.escape(path.relative_to(root).as_posix())}(/|$)"))
    return faults, left_out, files


def _faults(folder: Path, above: tuple[str, ...]) -> Iterator[tuple[InputError | None, Path]]:
    """Yield what is wrong in a folder and those below, and where; `above` are the folders that hold it.

    None stands for a folder with the name of a file.
    """
    try:
        # Forbidden where a folder may be listed, and nothing in it opened; `Path` would drop the dot.
        os.stat(f"{folder}/.")  # noqa: PTH116
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield unreadable(folder, error, needed=LISTED, fix=READABLE), folder
        return
    for entry in found:
        path = folder / entry.name
        if NO_TEXT.search(entry.name):
            yield (
                InputError(
                    "has a name that is not UTF-8", file=path, needed="a name of BIDS", fix="rename it"
                ),
                path,
            )
        elif not _is_folder(entry):
            if FOLDERS.fullmatch(entry.name):
                yield _no_folder(path), path
        elif entry.name.endswith(FILES):
            yield None, path
        elif entry.is_symlink() and (os.path.realpath(path) in above):
            seen = f"is a link to {path.readlink()}, a folder that it lies in itself"
            yield InputError(seen, file=path, needed="a folder of its own", fix="remove the link"), path
        else:
            yield from _faults(path, (*above, os.path.realpath(path)))


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
