"""The files of ONE participant in one dataset, with the files at higher levels that apply to them.

Names are taken apart and the inheritance principle is resolved here; `folders` lists.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_qmri.bids.folders import list_files
from bids_qmri.errors import InputError
from bids_qmri.files import SIDECAR_LIMIT, parse_json, read_text

IMAGE_EXTENSIONS = (".nii.gz", ".nii", ".ome.zarr")

LONG_NAMES = {
    "subject": "sub",
    "session": "ses",
    "acquisition": "acq",
    "ceagent": "ce",
    "reconstruction": "rec",
    "direction": "dir",
    "modality": "mod",
    "segmentation": "seg",
}
"""Entities that filter files spell out; the others are spelled alike."""

OBJECT = "one JSON object in UTF-8"
CHECK = "correct the file with a JSON checker"

INDICES = ("run", "echo", "flip", "inv", "split", "chunk")
"""Entities that count: ``run-1`` and ``run-01`` are one."""


@dataclass(frozen=True, eq=False)
class BidsFile:
    """One file, taken apart by its name.

    Parameters
    ----------
    path
        The file.
    entities
        Short keys and labels in the order of the name.
    suffix
        The last part of the name: ``"VFA"``.
    extension
        From the first dot on: ``".nii.gz"``.
    datatype
        Name of its folder (``"anat"``); empty at the levels above.
    """

    path: Path
    entities: Mapping[str, str]
    suffix: str
    extension: str
    datatype: str

    @property
    def stem(self) -> str:
        """The name without its extension."""
        return self.path.name.removesuffix(self.extension)

    @property
    def is_image(self) -> bool:
        """Whether it is an image by its extension."""
        return self.extension in IMAGE_EXTENSIONS

    @property
    def is_magnitude(self) -> bool:
        """Whether it may hold magnitudes: phase, real and imaginary parts do not."""
        return self.entities.get("part", "mag") == "mag"

    def without(self, *keys: str) -> dict[str, str]:
        """Return the entities without some."""
        return {key: label for key, label in self.entities.items() if key not in keys}

    def indexed(self, *keys: str) -> dict[str, str]:
        """Return the entities without some, indices as numbers: ``run-01`` is ``run-1``."""
        return {key: as_index(key, label) for key, label in self.without(*keys).items()}


def as_index(key: str, label: str) -> str:
    """Return the label of an entity, without leading zeros where it is a number that counts."""
    return str(int(label)) if key in INDICES and label.isdecimal() else label


def group_by(images: Iterable[BidsFile], *varying: str) -> list[list[BidsFile]]:
    """Group images whose entities agree but for the `varying` ones, in the order of their names."""
    groups: dict[tuple[tuple[str, str], ...], list[BidsFile]] = {}
    for image in images:
        key = (("suffix", image.suffix), *sorted(image.without(*varying).items()))
        groups.setdefault(key, []).append(image)
    return list(groups.values())


@dataclass(frozen=True)
class ParticipantFiles:
    """What one dataset holds of one participant.

    Parameters
    ----------
    root
        The dataset.
    participant
        Label without ``sub-``.
    files
        Files of the participant and those above that it may inherit.
    faults
        Folders that cannot be read, and others that are not what their names say.
    """

    root: Path
    participant: str
    files: tuple[BidsFile, ...]
    faults: tuple[InputError, ...] = ()

    def images(self, suffixes: Iterable[str], datatype: str | None = None) -> list[BidsFile]:
        """Return the participant's magnitude images with one of these suffixes, sorted by name."""
        return [image for image in self.all_parts(suffixes, datatype) if image.is_magnitude]

    def all_parts(self, suffixes: Iterable[str], datatype: str | None = None) -> list[BidsFile]:
        """Return the participant's images with one of these suffixes, phases too, sorted by name."""
        wanted = set(suffixes)
        return [
            file
            for file in self.files
            if file.is_image
            and file.suffix in wanted
            and file.entities.get("sub") == self.participant
            and datatype in (None, file.datatype)
        ]

    def inherited(self, file: BidsFile, extension: str, suffix: str | None = None) -> list[BidsFile]:
        """Return the files that apply to an image by the inheritance principle, the nearest first.

        Parameters
        ----------
        file
            The image.
        extension
            Of what is inherited: ``".json"``.
        suffix
            Of what is inherited; None: the image's.
        """
        folders = {folder: depth for depth, folder in enumerate(file.path.parents)}
        applicable = [
            other
            for other in self.files
            if other.extension == extension
            and other.suffix == (suffix or file.suffix)
            and other.path.parent in folders
            and other.indexed().items() <= file.indexed().items()
        ]
        return sorted(applicable, key=lambda other: (folders[other.path.parent], -len(other.entities)))


def read_layout(root: Path, participant: str) -> ParticipantFiles:
    """List one participant's files in a raw or derivative dataset.

    Parameters
    ----------
    root
        The dataset.
    participant
        Label without ``sub-``.

    Raises
    ------
    InputError
        The dataset cannot be listed.
    """
    root = root.absolute()
    files, faults = list_files(root, participant)
    return ParticipantFiles(root, participant, tuple(map(_take_apart, files)), tuple(faults))


def _take_apart(path: Path) -> BidsFile:
    name, dot, rest = path.name.partition(".")
    *pairs, suffix = name.split("_")
    entities = {key: label for key, dash, label in (pair.partition("-") for pair in pairs) if dash}
    in_participant = path.parent.name.startswith(("sub-", "ses-")) or "sub" not in entities
    return BidsFile(path, entities, suffix, dot + rest, "" if in_participant else path.parent.name)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object strictly.

    Raises
    ------
    InputError
        If it is not readable, not UTF-8, not valid JSON (with line and column), holds NaN or a number that
        is too large, names a key twice, is nested without end, or is not an object.
    """

    def fail(seen: str) -> InputError:
        return InputError(seen, file=path, needed=OBJECT, fix=CHECK)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            twice = min(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
            raise fail(f"has the key {twice!r} twice")
        return content

    def no_number(text: str) -> None:
        raise fail(f"holds {text}, which is not a JSON number")

    def number(text: str) -> float:
        if not math.isfinite(value := float(text)):
            raise fail(f"holds {text[:20]}, which is more than any number here")
        return value

    text = read_text(path, SIDECAR_LIMIT, needed=OBJECT, fix=CHECK)
    try:
        content = parse_json(text, pairs=unique, parse_constant=no_number, parse_float=number)
    except json.JSONDecodeError as error:
        what = "is empty" if not text.strip() else error.msg
        raise fail(f"{what} at line {error.lineno}, column {error.colno}") from error
    except ValueError as error:
        raise fail(str(error)) from error
    if not isinstance(content, dict):
        raise fail(f"holds a {type(content).__name__} at line 1, column 1")
    return content


def matches(file: BidsFile, filters: Mapping[str, Any]) -> bool:
    """Whether a file passes entity filters as in a BIDS filter file.

    Parameters
    ----------
    file
        The file.
    filters
        Labels (one or a list) by entity, short or spelled out; null asks for its absence, ``"*"`` for
        anything.
    """
    return all(_matches_one(file, key, wanted) for key, wanted in filters.items())


def _matches_one(file: BidsFile, key: str, wanted: Any) -> bool:
    own = {"suffix": file.suffix, "datatype": file.datatype, "extension": file.extension}
    short = LONG_NAMES.get(key, key)
    seen = own[key] if key in own else file.entities.get(short)
    if wanted is None or wanted == "*":
        return (seen is None) == (wanted is None)
    labels = wanted if isinstance(wanted, list | tuple) else [wanted]
    # Filter files write run and echo as numbers, file names with leading zeros.
    texts = {str(label).removeprefix(f"{short}-").lstrip("0") for label in labels}
    return seen is not None and seen.lstrip("0") in texts
