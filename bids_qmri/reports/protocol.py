"""Sidecar keys as rows of a table for people: names, units people use, long lists shortened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from bids_qmri.reports.page import number

MAX_LISTED = 24
"""Longer lists are shown as their number and their ends."""

MAX_IN_LINE = 8
"""Longer lists are shortened in the line above a section."""

EQUAL_STEPS = 0.02
"""Frames are told by their distance if their steps differ by no more than this fraction."""


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
    """What people call a key, and the unit that they use of numbers: `factor` turns the key's to it.

    `short` is how the line above a section calls it; None leaves it out there.
    """

    name: str
    unit: str | None = None
    factor: float = 1.0
    short: str | None = None


_MS = ("ms", 1000.0)
_ROWS: Mapping[str, _Row] = {
    "Manufacturer": _Row("Manufacturer"),
    "ManufacturersModelName": _Row("Scanner"),
    "MagneticFieldStrength": _Row("Field strength", "T", short=""),
    "PulseSequenceType": _Row("Sequence"),
    "InversionTimes": _Row("Inversion times", "s", short="TI"),
    "FlipAngle": _Row("Flip angles", "degrees", short="flip angle"),
    "RepetitionTimeExcitation": _Row("Repetition time", *_MS, short="TR"),
    "RepetitionTimesExcitation": _Row("Repetition times", *_MS, short="TR"),
    "RepetitionTime": _Row("Repetition time of a volume", "s", short="TR"),
    "EchoTime": _Row("Echo time", *_MS, short="TE"),
    "SmallDelta": _Row("Gradient duration", *_MS),
    "BigDelta": _Row("Gradient separation", *_MS),
    "FrameTimes": _Row("Frame times", "s", short="frames"),
    "ContrastBolusAgent": _Row("Contrast agent"),
    "ContrastAgentRelaxivity": _Row("Relaxivity", "L/mmol/s"),
    "Hematocrit": _Row("Haematocrit", ""),
    "ArterialInput": _Row("Arterial input"),
}
_HAEMATOCRIT = _Row("Haematocrit", "", short="haematocrit")
_WEIGHTINGS = ("BValues", "BValueCounts")

_IDENTITY = (
    *("Model", "Estimator", "Entities", "Metrics", "Regions", "Shells", "Motion"),
    *("Notes", "Warnings", "Units", "SoftwareVersion", "SegmentationLabels"),
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
        (row.name, _with_origin(fields, key, _listed(fields[key], row.unit, row.factor)))
        if row.unit is not None
        else (row.name, str(fields[key]))
        for key, row in every.items()
    ]
    return (*rows, *_weightings(fields))


def protocol_line(fields: Mapping[str, Any]) -> str:
    """Return what was acquired as one line, every number with its name or unit; empty if nothing is known.

    Parameters
    ----------
    fields
        Sidecar of a map.
    """
    unnamed = [key for key in _varied(fields) if key not in _ROWS]
    others = {key: _Row("", "", short=_words(key).lower()) for key in unnamed}
    parts = [_part(key, row, fields) for key, row in {**_ROWS, **others}.items() if key in fields]
    weightings = [round(mean) for mean in _mean_weightings(fields)]
    parts += [f"b {_shortened(weightings, ' s/mm²')}"] if weightings else []
    # Last, as it is no property of the images.
    return ", ".join(filter(None, [*parts, _part("Hematocrit", _HAEMATOCRIT, fields)]))


def _part(key: str, row: _Row, fields: Mapping[str, Any]) -> str:
    """Return what the line says of one key; empty: nothing."""
    values = _numbers(fields.get(key))
    if row.short is None or not values:
        return ""
    if key == "FrameTimes":
        return _frames(values)
    if row.unit == "degrees":
        return f"{row.short}{'s' if len(values) > 1 else ''} {_shortened(values, '°')}"
    told = _shortened([one * row.factor for one in values], f" {row.unit}" if row.unit else "")
    return _with_origin(fields, key, f"{row.short} {told}".strip())


def _frames(times: Sequence[float]) -> str:
    """Write how many frames there are, and how far apart or, of unequal steps, over which time."""
    if len(times) < 2:
        return ""
    steps = [late - early for early, late in pairwise(times)]
    if max(steps) - min(steps) <= EQUAL_STEPS * max(steps):
        return f"{len(times)} frames {number(float(f'{sum(steps) / len(steps):.4g}'))} s apart"
    return f"{len(times)} frames in {number(float(times[-1] - times[0]))} s"


def _shortened(values: Sequence[float], unit: str) -> str:
    """Write numbers with spaces between; of many the first ones, the last one, and how many there are."""
    texts = [number(float(f"{one:.4g}")) for one in values]
    if len(texts) <= MAX_IN_LINE:
        return " ".join(texts) + unit
    return f"{' '.join(texts[:3])} … {texts[-1]}{unit} ({len(texts)} values)"


def _with_origin(fields: Mapping[str, Any], key: str, told: str) -> str:
    """Append that a number was stated by nobody, where it was assumed, or that nothing depends on it."""
    origins = fields.get("ValueOrigins")
    origin = str(origins.get(key.lower())) if isinstance(origins, Mapping) else ""
    if origin.startswith("not used"):
        return f"{told}, not used"
    return f"{told}, assumed" if origin == "default" else told


def _numbers(value: Any) -> list[float]:
    """Return a number, or a list of numbers, as a list; empty of anything else."""
    values = value if isinstance(value, list) else [value]
    known = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    return known if len(known) == len(values) else []


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


def _weightings(fields: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Write b-values with their numbers of images."""
    groups = _grouped(fields)
    if len(groups) > MAX_LISTED:
        return (("b-values", _listed(fields["BValues"], "s/mm²")),)
    texts = [
        f"{group[0][0]:g}{f' to {group[-1][0]:g}' if len(group) > 1 else ''} ({sum(n for _, n in group)})"
        for group in groups
    ]
    return (("b-values (images)", f"{', '.join(texts)} s/mm²"),) if texts else ()


def _mean_weightings(fields: Mapping[str, Any]) -> list[float]:
    """Return the mean b-value of the images of every group."""
    return [sum(b * n for b, n in group) / sum(n for _, n in group) for group in _grouped(fields)]


def _grouped(fields: Mapping[str, Any]) -> list[list[tuple[float, int]]]:
    """Return b-values and numbers of images; neighbours within the scanner's jitter are one group."""
    values, counts = map(fields.get, _WEIGHTINGS)
    if not isinstance(values, list) or not isinstance(counts, list) or len(values) != len(counts):
        return []
    groups: list[list[tuple[float, int]]] = []
    for value, count in sorted(zip(values, counts, strict=True)):
        if groups and value - groups[-1][-1][0] <= JITTER * value:
            groups[-1].append((value, count))
        else:
            groups.append([(value, count)])
    return groups


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
