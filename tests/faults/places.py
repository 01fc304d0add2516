"""Faults of places: folders, links and names of a participant, and of the dataset as a whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from faults.kinds import FLIP, NO_INPUT, USAGE, Case, Fault, Spoil, forbidden, sparse, write_json


def _folder_becomes(make: Callable[[Path], object]) -> Spoil:
    """Put something else where the folder of images is."""

    def spoil(case: Case) -> None:
        shutil.rmtree(case.folder / "anat")
        make(case.folder / "anat")

    return spoil


def _participant_becomes(make: Callable[[Path], object]) -> Spoil:
    def spoil(case: Case) -> None:
        shutil.rmtree(case.folder)
        make(case.folder)

    return spoil


def _renamed(old: str, new: str) -> Spoil:
    """Give an entity of all files of the participant another label."""

    def spoil(case: Case) -> None:
        for path in sorted(case.folder.rglob("*_VFA.*")):
            path.rename(path.with_name(path.name.replace(old, new)))

    return spoil


def _bytes(case: Case) -> None:
    Path(os.fsdecode(os.fsencode(case.folder) + b"/anat/sub-01_\xff_T1w.nii.gz")).write_text("")


def _description(make: Callable[[Path], object]) -> Spoil:
    def spoil(case: Case) -> None:
        path = case.root / "dataset_description.json"
        path.unlink()
        make(path)

    return spoil


def _nothing(case: Case) -> None:
    for participant in ("sub-01", "sub-02"):
        shutil.rmtree(case.root / participant)
        write_json(case.root / participant / "anat" / f"{participant}_T1w.json", {})


def _label(case: Case) -> None:
    case.folder.rename(case.root / "sub-01_2")


def _many(case: Case) -> None:
    for number in range(2000):
        (case.folder / "anat" / f"sub-01_acq-x{number}_T1w.json").write_text("")
    (case.folder / f"{FLIP}.json").write_text("{")


def _existing(make: Callable[[Path], object]) -> Spoil:
    """Put something where the description of the results goes."""

    def spoil(case: Case) -> None:
        case.out.mkdir()
        make(case.out / "dataset_description.json")

    return spoil


def _output_is_file(case: Case) -> None:
    case.out.write_text("")


def _work_is_file(case: Case) -> None:
    case.work.write_text("")


ROWS = [
    Fault(
        "folder: a file of that name",
        _folder_becomes(lambda path: path.write_text("")),
        ("sub-01/anat", "is a file; needed: a folder"),
    ),
    Fault("folder: named pipe", _folder_becomes(os.mkfifo), ("sub-01/anat", "needed: a folder")),
    Fault(
        "folder: link to nowhere",
        _folder_becomes(lambda path: path.symlink_to("/nowhere")),
        ("sub-01/anat", "is a link to /nowhere, where no folder is"),
    ),
    Fault(
        "folder: link in a circle",
        _folder_becomes(lambda path: path.symlink_to("anat")),
        ("sub-01/anat", "is a link to anat"),
    ),
    Fault(
        "folder: link to a folder above",
        lambda case: (case.folder / "anat/again").symlink_to(".."),
        ("anat/again", "a folder that it lies in itself"),
        own=True,
    ),
    Fault(
        "participant: a file of that name",
        _participant_becomes(lambda path: path.write_text("")),
        ("sub-01", "is a file; needed: a folder"),
    ),
    Fault(
        "participant: link to nowhere",
        _participant_becomes(lambda path: path.symlink_to("/nowhere")),
        ("sub-01", "is a link to /nowhere"),
    ),
    Fault(
        "participant: link in a circle",
        _participant_becomes(lambda path: path.symlink_to("sub-01")),
        ("sub-01", "is a link to sub-01|leads back"),
    ),
    Fault(
        "participant: a label that BIDS does not have",
        _label,
        ("sub-01_2", "the label '01_2' is not one of BIDS"),
    ),
    Fault(
        "name: an entity without a place in names of maps", _renamed("_flip", "_foo-1_flip"), ("foo", "fix:")
    ),
    Fault(
        "name: not UTF-8", _bytes, (r"sub-01_\\udcff_T1w\.nii\.gz", "has a name that is not UTF-8"), own=True
    ),
    Fault("name: thousands of files beside a damaged one", _many, (r"flip-1_VFA\.json", "line 1, column")),
    Fault(
        "dataset: without a description",
        _description(lambda path: None),
        ("data|raw", "has no dataset_description.json"),
        USAGE,
        others=False,
    ),
    Fault(
        "dataset: damaged description",
        _description(lambda path: path.write_text("{")),
        (r"dataset_description\.json", "line 1, column"),
        USAGE,
        others=False,
    ),
    Fault(
        "dataset: description with 5,000 digits",
        _description(
            lambda path: path.write_text('{"Name": "x", "BIDSVersion": "1", "A": ' + "[" * 5000 + "}")
        ),
        (r"dataset_description\.json", "nested too deeply"),
        USAGE,
        others=False,
    ),
    Fault(
        "dataset: description is a named pipe",
        _description(os.mkfifo),
        (r"dataset_description\.json",),
        USAGE,
        others=False,
    ),
    Fault(
        "dataset: description is a gigabyte",
        _description(sparse(2**30)),
        (r"dataset_description\.json", "1,024 MB"),
        USAGE,
        others=False,
    ),
    Fault(
        "dataset: not there",
        lambda case: _no(shutil.rmtree(case.root)),
        ("is not a folder",),
        USAGE,
        others=False,
    ),
    Fault("dataset: nothing that can be fitted", _nothing, (r"nothing|no ",), NO_INPUT, others=False),
    Fault(
        "named dataset: not there",
        lambda case: ["-d", f"other={case.extra / 'gone'}"],
        ("gone", "is not a folder"),
        USAGE,
        others=False,
    ),
    Fault(
        "results: of another program",
        _existing(lambda path: write_json(path, {"GeneratedBy": [{"Name": "fMRIPrep"}]})),
        (r"dataset_description\.json", "made by fMRIPrep"),
        USAGE,
        others=False,
    ),
    Fault(
        "results: damaged description",
        _existing(lambda path: path.write_text("{")),
        (r"dataset_description\.json", "is not JSON"),
        USAGE,
        others=False,
    ),
    Fault(
        "results: description is a named pipe",
        _existing(os.mkfifo),
        (r"dataset_description\.json", "is a named pipe"),
        USAGE,
        others=False,
    ),
    Fault(
        "results: description is a gigabyte",
        _existing(sparse(2**30)),
        (r"dataset_description\.json", "1,024 MB"),
        USAGE,
        others=False,
    ),
    Fault("results: a file of that name", _output_is_file, ("out", "cannot be written"), USAGE, others=False),
    Fault(
        "folder for work: a file of that name",
        _work_is_file,
        ("work", "cannot be written"),
        USAGE,
        others=False,
    ),
    Fault("folder: no permission", forbidden("anat"), ("sub-01/anat", "its permissions forbid it", "u[+]rx")),
    Fault(
        "folder: may be listed, not entered",
        lambda case: (case.folder / "anat").chmod(0o400),
        ("sub-01/anat: cannot be opened", "its permissions forbid it"),
    ),
    Fault(
        "participant: no permission", forbidden(""), ("sub-01: cannot be opened", "its permissions forbid it")
    ),
    Fault("dataset: no permission", lambda case: case.root.chmod(0), ("raw",), USAGE, others=False),
    Fault(
        "dataset: description without permission",
        lambda case: (case.root / "dataset_description.json").chmod(0),
        (r"dataset_description\.json", "its permissions forbid it"),
        USAGE,
        others=False,
    ),
]


def _no(_: object) -> None:
    """Return nothing of what was done."""
