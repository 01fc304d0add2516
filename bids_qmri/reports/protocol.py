"""Sidecar keys as rows of a table for people: names, units people use, long lists shortened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bids_qmri.reports.page import number

MAX_LISTED = 24
"""Longer lists are shown as their number and their ends."""


def _listed(value: Any, unit: str, factor: float = 1.0) -> str:
    """Write one number or a list of numbers in a unit; anything else as it is."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, int | float) for one in values):
        return str(value)
    texts = [number(float(f"{one * factor:.6g}")) for one in values]
    if len(texts) > MAX_LISTED:
        return f"{len(texts)} values from {texts[0]} to {texts[-1]} {unit}"
    return f"{', '.join(texts)} {unit}".strip()


JITTER = 0.02
"""b-values that differ by less than this fraction are written as one group."""


class _Row(NamedTuple):
    """What people call a key, and the unit that they use of numbers: `factor` turns the key's to it."""

    name: str
    unit: str | None = None
    factor: float = 1.0


_MS = ("ms", 1000.0)
_ROWS: Mapping[str, _Row] = {
    "Manufacturer": _Row("Manufacturer"),
    "ManufacturersModelName": _Row("Scanner"),
    "MagneticFieldStrength": _Row("Field strength", "T"),
    "PulseSequenceType": _Row("Sequence"),
    "FlipAngle": _Row("Flip angles", "degrees"),
    "RepetitionTimeExcitation": _Row("Repetition time", *_MS),
    "RepetitionTimesExcitation": _Row("Repetition times", *_MS),
    "RepetitionTime": _Row("Repetition time of a volume", "s"),
    "EchoTime": _Row("Echo time", *_MS),
    "SmallDelta": _Row("Gradient duration", *_MS),
    "BigDelta": _Row("Gradient separation", *_MS),
    "FrameTimes": _Row("Frame times", "s"),
    "ContrastBolusAgent": _Row("Contrast agent"),
    "ContrastAgentRelaxivity": _Row("Relaxivity", "L/mmol/s"),
    "Hematocrit": _Row("Haematocrit", ""),
    "ArterialInput": _Row("Arterial input"),
}
_WEIGHTINGS = ("BValues", "BValueCounts")

_IDENTITY = (
    *("Model", "Estimator", "Entities", "Metrics", "Regions", "Shells", "Motion"),
    *("Notes", "Units", "SoftwareVersion", "SegmentationLabels"),
)


def describe_protocol(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return name and value of what was acquired, in the order of a methods section.

    Parameters
    ----------
    fields
        Sidecar of a map.
    """
    named = {key: row for key, row in _ROWS.items() if key in fields}
    every = named | {key: _Row(_words(key), "") for key in _varied(fields) if key not in named}
    rows = [
        (row.name, str(fields[key]) if row.unit is None else _listed(fields[key], row.unit, row.factor))
        for key, row in every.items()
    ]
    return (*rows, *_weightings(*map(fields.get, _WEIGHTINGS)))


def varied(fields: Mapping[str, Any]) -> tuple[str, list[float]] | None:
    """Return name with unit, and values, of what a sidecar says to differ between images; None: nothing."""
    for key in _varied(fields):
        row = _ROWS.get(key, _Row(_words(key), ""))
        label = f"{row.name.lower()} ({row.unit})" if row.unit else row.name.lower()
        return label, [value * row.factor for value in fields[key]]
    return None


def _varied(fields: Mapping[str, Any]) -> list[str]:
    """Return the keys that hold several numbers, but for weightings."""
    return [
        key
        for key, value in fields.items()
        if isinstance(value, list) and len(value) > 1 and key not in _WEIGHTINGS
        if all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)
    ]


def _weightings(values: Any, counts: Any) -> Sequence[tuple[str, str]]:
    """Write b-values with their numbers of images; neighbours within the scanner's jitter are one group."""
    if not isinstance(values, list) or not isinstance(counts, list) or len(values) != len(counts):
        return ()
    groups: list[tuple[list[float], int]] = []
    for value, count in sorted(zip(values, counts, strict=True)):
        if groups and value - groups[-1][0][-1] <= JITTER * value:
            groups[-1] = ([*groups[-1][0], value], groups[-1][1] + count)
        else:
            groups.append(([value], count))
    if len(groups) > MAX_LISTED:
        return (("b-values", _listed(values, "s/mm²")),)
    texts = [f"{ends[0]:g}{f' to {ends[-1]:g}' if len(ends) > 1 else ''} ({count})" for ends, count in groups]
    return (("b-values (images)", f"{', '.join(texts)} s/mm²"),)


def describe_choices(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return name and value of what went into a fit beside the images.

    Parameters
    ----------
    fields
        Content of a quality file.
    """
    chosen = {key: value for key, value in fields.items() if key not in _IDENTITY}
    return tuple((_words(key), _text(value)) for key, value in sorted(chosen.items()))


def _words(key: str) -> str:
    """Split a CamelCase key: ``NoiseLevel`` is ``Noise level``."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in key[1:])
    return key[:1] + spaced


def _text(value: Any) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return str(value)
