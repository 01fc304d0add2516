"""The files of ONE participant in one dataset, with the files at higher levels that apply to them.

Only the root and the participant's own folder are listed, so that one of ten thousand participants costs no
more than the only one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_qmri.errors import InputError

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

INDICES = ("run", "echo", "flip", "inv", "split", "chunk")
"""Entities that count: ``run-1`` and ``run-01`` are one."""


_ELSEWHERE = re.compile(r"derivatives|sourcedata|code|\.")
"""What lies at the root of a dataset and is not of it; beginnings of names."""


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
    """

    root: Path
    participant: str
    files: tuple[BidsFile, ...]

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
        A folder cannot be listed.
    """
    root = root.absolute()
    files = sorted(_walk(root, f"sub-{participant}", frozenset()))
    return ParticipantFiles(root, participant, tuple(map(_take_apart, files)))


def _walk(folder: Path, own: str, above: frozenset[str]) -> Iterator[Path]:
    """Yield the files of a dataset that a participant may use: not those of others, nor of nested datasets.

    Parameters
    ----------
    folder
        Root of the dataset, or a folder below it.
    own
        Folder of the participant.
    above
        Folders that led here, as they really lie: links may lead in a circle.
    """
    place = os.path.realpath(folder)
    if place in above:
        return
    for entry in _listed(folder):
        # At the root alone: a study may have ten thousand participants.
        if not above and (
            (entry.name.startswith("sub-") and entry.name != own) or _ELSEWHERE.match(entry.name)
        ):
            continue
        path = Path(entry.path)
        if not entry.is_dir() or path.suffix == ".zarr":
            yield path
        else:
            yield from _walk(path, own, above | {place})


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise InputError(
            f"cannot be listed ({error.strerror})",
            file=folder,
            needed="a folder that this user may read",
            fix="give this user the right to read it, or mend the link",
        ) from error


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
        If it is not readable, not UTF-8, not valid JSON (with line and column), holds NaN, names a key
        twice, or is not an object.
    """

    def fail(seen: str) -> InputError:
        return InputError(
            seen, file=path, needed="one JSON object in UTF-8", fix="correct the file with a JSON checker"
        )

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise fail(f"has the key {twice[0]!r} twice")
        return dict(pairs)

    def no_number(text: str) -> None:
        raise fail(f"holds {text}, which is not a JSON number")

    try:
        # Some editors write a byte order mark, which changes nothing in the content.
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text, object_pairs_hook=unique, parse_constant=no_number)
    except json.JSONDecodeError as error:
        what = "is empty" if not text.strip() else error.msg
        raise fail(f"{what} at line {error.lineno}, column {error.colno}") from error
    except UnicodeDecodeError as error:
        raise fail(f"byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise fail("is nested too deeply") from error
    except OSError as error:
        raise fail(f"cannot be opened ({error.strerror})") from error
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
