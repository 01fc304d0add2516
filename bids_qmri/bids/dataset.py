"""Who is in a dataset, and what of each participant can be fitted: the entry to everything in `bids/`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bids_qmri import catalogue
from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.isolation import read_kind
from bids_qmri.bids.layout import ParticipantFiles, read_json, read_layout
from bids_qmri.bids.names import derivative_path
from bids_qmri.bids.quantitative import without_model
from bids_qmri.errors import InputError, UsageError
from bids_qmri.files import as_input_error

LABEL = re.compile(r"[0-9A-Za-z+]+")


def participants(bids_dir: Path, labels: Sequence[str] = (), field: str = "--participant-label") -> list[str]:
    """Return the labels of a dataset's participants, sorted, or those asked for, in their order.

    Parameters
    ----------
    bids_dir
        The dataset.
    labels
        Labels with or without ``sub-``; empty takes all.
    field
        The option that asks for them, for the message.

    Raises
    ------
    UsageError
        If `bids_dir` is not a BIDS dataset or has no such participant.
    """
    if not bids_dir.is_dir():
        raise UsageError(
            "is not a folder", file=bids_dir, needed="the folder of a BIDS dataset", fix="check the path"
        )
    description = bids_dir / "dataset_description.json"
    if not _is_there(description):
        raise UsageError(
            "has no dataset_description.json",
            file=bids_dir,
            needed="the folder of a BIDS dataset",
            fix="check the path, or write the file (Name, BIDSVersion)",
        )
    try:
        read_json(description)
    except InputError as error:
        raise UsageError(error.seen, file=description, needed=error.needed, fix=error.fix) from error
    available = _labels(bids_dir)
    wanted = [label.removeprefix("sub-") for label in labels]
    unknown = [label for label in wanted if label not in available]
    if unknown:
        raise UsageError(
            f"there is no participant {', '.join(unknown)}",
            file=bids_dir,
            field=field,
            needed=f"one of {', '.join(available) or 'none, the dataset is empty'}",
            fix="check the label",
        )
    return wanted or available


def _is_there(description: Path) -> bool:
    try:
        return description.is_file()
    except OSError as error:
        raise UsageError(
            f"cannot be looked into ({error.strerror})",
            file=description.parent,
            needed="the folder of a BIDS dataset",
            fix="make it readable (chmod u+rx)",
        ) from error


def _labels(bids_dir: Path) -> list[str]:
    """Return the labels of all participants; links to nowhere count, for whose they are must be known."""
    try:
        with os.scandir(bids_dir) as entries:
            names = [
                entry.name for entry in entries if entry.name.startswith("sub-") and _is_participant(entry)
            ]
    except OSError as error:
        raise UsageError(
            f"cannot be listed ({error.strerror})",
            file=bids_dir,
            needed="the folder of a BIDS dataset",
            fix="make it readable (chmod u+rx)",
        ) from error
    return sorted(name.removeprefix("sub-") for name in names)


def _is_participant(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir() or LABEL.fullmatch(entry.name.removeprefix("sub-")) is not None
    except OSError:  # a link that leads back to itself
        return True


def require_sessions(roots: Sequence[Path], sessions: Sequence[str]) -> None:
    """Refuse sessions that no participant has.

    Parameters
    ----------
    roots
        The dataset, and its derivatives.
    sessions
        Labels without ``ses-``; empty asks for nothing.

    Raises
    ------
    UsageError
        Nobody has one of the sessions.
    """
    if not sessions:
        return
    folders = (folder for root in roots for folder in root.glob("sub-*/ses-*/"))
    available = {folder.name.removeprefix("ses-") for folder in folders}
    if unknown := [session for session in sessions if session not in available]:
        raise UsageError(
            f"there is no session {', '.join(unknown)}",
            file=roots[0],
            field="--session-label",
            needed=f"one of {', '.join(sorted(available))}" if available else "a dataset with sessions",
            fix="check the label" if available else "leave the option out",
        )


def find(
    bids_dir: Path, participant: str, options: ReadOptions | None = None
) -> list[Acquisition | Unusable]:
    """Find every acquisition of a participant, and what looks like one but cannot be fitted.

    Parameters
    ----------
    bids_dir
        The dataset.
    participant
        Label without ``sub-``.
    options
        Choices of the command line.

    Returns
    -------
    Acquisitions and unusable sets of files, by sequence family, then by name.
    """
    if not LABEL.fullmatch(participant):
        return [Unusable(f"sub-{participant}", _illegal_label(bids_dir, participant))]
    # Not at the top: who is in a dataset must be known without libraries of images.
    from bids_qmri.bids.contributions import with_unused_datasets

    options = options or ReadOptions()
    faults: list[Unusable] = []
    files = _listed(bids_dir, participant, options, faults)
    if files is None:
        return [*faults]
    listed = {name: _listed(path, participant, options, faults) for name, path in options.derivatives.items()}
    derivatives = {name: one for name, one in listed.items() if one is not None}
    found: list[Acquisition | Unusable] = []
    for kind, module in catalogue.readers().items():
        own = read_kind(kind, catalogue.load(f"{module}:find"), files, derivatives, options, tuple(found))
        found += [replace(one, kind=kind) if isinstance(one, Unusable) else one for one in own]
    found = [_if_nameable(one) for one in found]
    try:
        found = with_unused_datasets(found, derivatives, options)
        unread = without_model(files, found)
    except Exception as error:  # words about what is not used cost no map
        unread = [Unusable(f"sub-{participant}", as_input_error(error, bids_dir), fault=False)]
    return [*faults, *found, *unread]


def _listed(
    root: Path, participant: str, options: ReadOptions, faults: list[Unusable]
) -> ParticipantFiles | None:
    """Return the files of a participant in one dataset, None if they cannot be listed; faults are added."""
    try:
        files = read_layout(root, participant)
    except InputError as error:
        faults.append(Unusable(f"sub-{participant} of {root.name}", error))
        return None
    faults += [Unusable(Path(str(one.file)).name, one) for one in files.faults]
    return _of_sessions(files, options.sessions)


def _if_nameable(found: Acquisition | Unusable) -> Acquisition | Unusable:
    """Refuse entities that names of outputs have no place for now, not after the fit."""
    if isinstance(found, Unusable):
        return found
    try:
        derivative_path(found.entities, datatype=found.datatype, suffix="qc", extension=".json", desc="x")
    except InputError as error:
        image = found.images[0]
        reason = InputError(error.seen, file=image, field=error.field, needed=error.needed, fix=error.fix)
        return Unusable(image.name.partition(".")[0], reason, kind=found.kind)
    return found


def _illegal_label(bids_dir: Path, participant: str) -> InputError:
    return InputError(
        f"the label {participant!r} is not one of BIDS",
        file=bids_dir / f"sub-{participant}",
        needed="letters and digits",
        fix="rename the folder and its files",
    )


def _of_sessions(files: ParticipantFiles, sessions: Sequence[str]) -> ParticipantFiles:
    """Drop files of other sessions; those that belong to no session are kept, for they may be inherited."""
    if not sessions:
        return files
    labels = {label.removeprefix("ses-") for label in sessions}
    kept = tuple(file for file in files.files if file.entities.get("ses", None) in {None, *labels})
    return replace(files, files=kept)
