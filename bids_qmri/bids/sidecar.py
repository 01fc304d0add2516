"""Typed metadata: the inherited sidecar keys of an image, with their files, checked for their unit.

Sidecars in the wild hold numbers as text and milliseconds for seconds; no validator objects. Text is
converted and noted; a value out of its physical range is refused with the likely unit mistake named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bids_qmri.bids.layout import BidsFile, ParticipantFiles, read_json
from bids_qmri.errors import InputError

LONGEST_SPOILED_TR = 1.0
"""s; a spoiled gradient echo with a longer repetition time has no T1 weighting: the value is in ms."""


@dataclass(frozen=True)
class Sidecar:
    """Metadata of one image.

    Parameters
    ----------
    image
        The image.
    values
        Keys and values after inheritance; null counts as absent.
    origin
        The file that supplied each key.
    files
        All JSON files that apply, the nearest first.
    """

    image: Path
    values: Mapping[str, Any]
    origin: Mapping[str, Path]
    files: tuple[Path, ...]

    def where(self, key: str) -> Path:
        """Return the file that holds `key`, or the file where it is missing."""
        return self.origin.get(key) or (self.files[0] if self.files else self.image)


def read_sidecar(image: BidsFile, files: ParticipantFiles) -> Sidecar:
    """Merge the JSON files that apply to an image, the nearest one winning."""
    inherited = files.inherited(image, ".json")
    values: dict[str, Any] = {}
    origin: dict[str, Path] = {}
    for file in reversed(inherited):
        own = {key: value for key, value in read_json(file.path).items() if value is not None}
        values |= own
        origin |= dict.fromkeys(own, file.path)
    return Sidecar(image.path, values, origin, tuple(file.path for file in inherited))


def by_volume(sidecar: Sidecar, n_volumes: int) -> list[Sidecar]:
    """Return the metadata of each volume of an image: keys with one value per volume are taken apart."""
    listed = {k: v for k, v in sidecar.values.items() if isinstance(v, list) and len(v) == n_volumes}
    # Lists of words, such as ImageType, are about the whole image.
    listed = {key: value for key, value in listed.items() if all(map(_is_number, value))}
    return [
        replace(sidecar, values={**sidecar.values, **{key: value[i] for key, value in listed.items()}})
        for i in range(n_volumes)
    ]


def _is_number(value: object) -> bool:
    """Whether it is a number, true or false, or a number as text."""
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def number(sidecar: Sidecar, key: str, notes: list[str]) -> float | None:
    """Return a key as a number, or None if it is absent; text is converted and noted.

    A list of one value, or of equal ones, is that number.

    Raises
    ------
    InputError
        If the value is not one finite number.
    """
    value = sidecar.values.get(key)
    if value is None:
        return None
    if isinstance(value, list) and value and all(one == value[0] for one in value):
        value = value[0]
    try:
        if isinstance(value, bool):
            raise TypeError
        result = float(value)
    except (TypeError, ValueError):
        result = math.nan
    if not math.isfinite(result):
        raise InputError(
            f"is {value!r}",
            file=sidecar.where(key),
            field=key,
            needed="one finite number",
            fix="correct it",
        )
    if isinstance(value, str):
        notes.append(
            f"{key} is the text {value!r} in {sidecar.where(key).name}; read as the number {result:g}"
        )
    return result


def flip_angle(sidecar: Sidecar, notes: list[str]) -> float:
    """Return FlipAngle in degrees.

    Raises
    ------
    InputError
        If it is absent or not between 0 and 180.
    """
    angle = number(sidecar, "FlipAngle", notes)
    needed = "the nominal flip angle in degrees, above 0 and below 180"
    if angle is None:
        raise InputError(
            "is missing",
            file=sidecar.where("FlipAngle"),
            field="FlipAngle",
            needed=needed,
            fix="add the key",
        )
    if not 0 < angle < 180:
        raise InputError(
            f"is {angle:g}",
            file=sidecar.where("FlipAngle"),
            field="FlipAngle",
            needed=needed,
            fix="correct it",
        )
    return angle


def spoiled_repetition_time(sidecar: Sidecar, notes: list[str], longest: float = LONGEST_SPOILED_TR) -> float:
    """Return RepetitionTimeExcitation, else RepetitionTime, in s.

    Parameters
    ----------
    longest
        Longest RepetitionTime in s that is taken for the excitation's; above it, it is refused.

    Raises
    ------
    InputError
        If neither is there, or the value cannot be that of a spoiled gradient echo in seconds.
    """
    key = "RepetitionTimeExcitation" if "RepetitionTimeExcitation" in sidecar.values else "RepetitionTime"
    value = number(sidecar, key, notes)
    needed = "the time between excitations in s"
    if value is None:
        raise InputError(
            "is missing (and RepetitionTime too)",
            file=sidecar.where(key),
            field="RepetitionTimeExcitation",
            needed=needed,
            fix="add the key",
        )
    limit = longest if key == "RepetitionTime" else LONGEST_SPOILED_TR
    if not 0 < value <= limit:
        milliseconds = f"if it is in milliseconds, write {value / 1000:g}" if value > limit else "correct it"
        raise InputError(
            f"is {value:g}",
            file=sidecar.where(key),
            field=key,
            needed=f"{needed}, above 0 and at most {limit:g}",
            fix=milliseconds
            if key != "RepetitionTime"
            else f"{milliseconds} or add RepetitionTimeExcitation",
        )
    if key == "RepetitionTime":
        notes.append(
            "RepetitionTimeExcitation is missing; RepetitionTime taken as the time between excitations"
        )
    return value


def in_milliseconds(value: float | None) -> str:
    """Return the fix of a time that is missing, negative, or longer than it can be in s."""
    if value is None:
        return "add the key"
    return f"if it is in milliseconds, write {value / 1000:g}" if value > 0 else "correct it"


def require_seconds(repetition_time: float, longest: float = LONGEST_SPOILED_TR) -> None:
    """Refuse a time between excitations that no spoiled gradient echo has in seconds.

    Raises
    ------
    InputError
        Naming what was given.
    """
    if not 0 < repetition_time <= longest:
        raise InputError(
            f"is {repetition_time:g}",
            field="repetition_time",
            needed=f"seconds between excitations, above 0 and at most {longest:g}",
            fix=in_milliseconds(repetition_time),
        )


def common(sidecars: Sequence[Sidecar]) -> dict[str, Any]:
    """Return the keys whose value is the same for all images."""
    first = sidecars[0].values
    return {
        key: value
        for key, value in first.items()
        if all(key in other.values and other.values[key] == value for other in sidecars[1:])
    }
