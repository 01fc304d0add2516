"""One kind of fault as data: how it comes about, how the run ends, and what the one line about it says.

A new kind is one more entry of a list `ROWS` in a module of this folder that `ALL` names; the table in
docs/faults.md follows by ``python tests/faults/table.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import synth

OK, FAILED, USAGE, NO_INPUT = 0, 1, 2, 65


@dataclass(frozen=True)
class Case:
    """A dataset of two participants, of which the first is to be spoiled.

    Parameters
    ----------
    root, out, work
        Folders of the dataset, of the results, and for work.
    extra
        Folder for files that options name.
    """

    root: Path
    out: Path
    work: Path
    extra: Path

    @property
    def folder(self) -> Path:
        """The folder of the participant that is spoiled."""
        return self.root / "sub-01"


Spoil = Callable[[Case], Sequence[str] | None]
"""Spoils a case; returns further arguments of the command line."""


@dataclass(frozen=True)
class Fault:
    """One kind.

    Parameters
    ----------
    kind
        In words, for the table.
    spoil
        Brings it about.
    says
        What one line must say, in this order, as regular expressions; the first is the name of the file.
    code
        How the run ends.
    fit
        What is run, one of `FITS`.
    others
        Whether the maps of the other participant are there afterwards.
    own
        Whether the maps of the spoiled participant are there, too: the fault costs something else.
    """

    kind: str
    spoil: Spoil
    says: tuple[str, ...]
    code: int = FAILED
    fit: str = "vfa"
    others: bool = True
    own: bool = False


FITS = {
    "vfa": (("--models", "vfa", "--estimators", "lsq"), "anat", "*_T1map.nii.gz"),
    "dwi": (("--models", "adc", "--estimators", "lsq"), "dwi", "*_dwimap.nii.gz"),
    "dti": (("--models", "dti", "--estimators", "wls"), "dwi", "*_dwimap.nii.gz"),
    "dce": (("--models", "tofts", "--estimators", "lsq"), "perf", "*.nii.gz"),
}
"""Arguments, and where maps then lie, by name."""


def build(root: Path, fit: str) -> Path:
    """Write the sound dataset of a fit: two participants, one scan each, on a few voxels."""
    synth.new_dataset(root)
    for participant in ("sub-01", "sub-02"):
        if fit in ("vfa", "dce"):
            synth.add_vfa(root, participant)
        if fit in ("dwi", "dti"):
            synth.add_tensor(root, participant)
        if fit == "dce":
            synth.add_dce(root, participant)
    return root


# Ways to spoil. A name is that of a file of the participant, from its folder on.

FLIP = "anat/sub-01_flip-1_VFA"
DWI = "dwi/sub-01_dwi"
DCE = "perf/sub-01_dce"
AIF = "perf/sub-01_aif"


def keys(stem: str, **changes: Any) -> Spoil:
    """Change keys of a sidecar; None removes one."""
    return lambda case: _no(synth.edit_json(case.folder / f"{stem}.json", **changes))


def content(name: str, what: bytes | str) -> Spoil:
    """Replace the content of a file."""
    data = what.encode() if isinstance(what, str) else what
    return lambda case: _no((case.folder / name).write_bytes(data))


def instead(name: str, make: Callable[[Path], object]) -> Spoil:
    """Put something else where a file is."""

    def spoil(case: Case) -> None:
        path = case.folder / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)

    return spoil


def bytes_of(name: str, change: Callable[[bytes], bytes]) -> Spoil:
    """Change the bytes of a file."""
    return lambda case: _no((case.folder / name).write_bytes(change((case.folder / name).read_bytes())))


def image(name: str, data: Any, affine: Any = synth.AFFINE) -> Spoil:
    """Write another image."""
    return lambda case: _no(synth.write_image(case.folder / name, np.asarray(data), np.asarray(affine)))


def header(name: str, **changes: Any) -> Spoil:
    """Change fields of the header of an image, which becomes uncompressed bytes packed again."""

    def spoil(case: Case) -> None:
        import gzip

        path = case.folder / name
        raw = gzip.decompress(path.read_bytes())
        own = nib.Nifti1Header(raw[:348], check=False)
        for field, value in changes.items():
            own[field] = value
        path.write_bytes(gzip.compress(bytes(own.binaryblock) + raw[348:], mtime=0))

    return spoil


def option(flag: str, name: str, what: bytes | str | Callable[[Path], object]) -> Spoil:
    """Name a file in an option; `what` is its content, or makes it."""

    def spoil(case: Case) -> list[str]:
        path = case.extra / name
        if callable(what):
            what(path)
        else:
            path.write_bytes(what.encode() if isinstance(what, str) else what)
        return [flag, str(path)]

    return spoil


def forbid(path: Path) -> None:
    """Take all permissions from a file or folder that is there."""
    path.chmod(0)


def forbidden(name: str) -> Spoil:
    """Take all permissions from a file or folder of the participant."""
    return lambda case: forbid(case.folder / name)


def sparse(size: int) -> Callable[[Path], object]:
    """Make a file of a size that takes no room."""

    def make(path: Path) -> None:
        with path.open("wb") as stream:
            stream.truncate(size)

    return make


def write_json(path: Path, value: Any) -> None:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _no(_: object) -> None:
    """Return nothing of what was done."""
