"""The numbers of a group page as text that its script reads: columns as base64, text as levels and codes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.participants import Participants
from bids_qmri.reports.group_flags import OUTLIER_LIMIT
from bids_qmri.reports.group_metrics import Shown
from bids_qmri.reports.group_table import LONGEST_TEXT, MISSING, GroupTable

LARGEST = 10_000_000
"""Characters of numbers that a page may hold; more metrics are in the table alone."""

MOST_LEVELS = 40
"""Texts of a column of participants.tsv with more different ones are no groups."""

CODES = {"<u1": 1 << 8, "<u2": 1 << 16, "<u4": 1 << 32}
"""How codes of texts are written, and how many different texts each can tell apart."""

_LARGEST_PEOPLE = 1_000_000


def payload(group: GroupTable, shown: Sequence[Shown], people: Participants) -> tuple[str, list[Shown]]:
    """Return the data of a page as JSON that is safe inside a script element, and the metrics it lacks.

    Parameters
    ----------
    group
        All fits of a model.
    shown
        Metrics in the order of importance.
    people
        What is known of the participants.
    """
    count = len(group.pages)
    fitting = max(LARGEST // (6 * max(count, 1)), 6)
    kept, left_out = list(shown[:fitting]), list(shown[fitting:])
    labels = {name: _coded(column) for name, column in group.labels.items() if _varies(name, column)}
    content = {
        "count": count,
        "limit": OUTLIER_LIMIT,
        "labels": labels,
        "pages": _coded(group.pages),
        "metrics": [
            {
                "name": one.name,
                "title": one.title,
                "unit": one.unit,
                "text": one.description,
                "set": one.group,
                "scale": 10.0**-one.exponent,
                "values": _base64(group.metrics[one.name].astype("<f4")),
                "outliers": _base64(np.flatnonzero(group.outliers[one.name]).astype("<u4"))
                if one.name in group.outliers
                else None,
                **_references(one),
            }
            for one in kept
        ],
        "people": list(_people(group, people)),
    }
    return _inert(json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))), left_out


def _references(shown: Shown) -> dict[str, str]:
    """Return the columns that go with one, by what they say; nothing of most."""
    columns = {"determined": shown.determined, "common": shown.common, "judged": shown.judged}
    return {key: name for key, name in columns.items() if name}


def _varies(name: str, column: Sequence[str]) -> bool:
    """Tell whether a column of labels says anything: entities that no name has do not."""
    return name in ("participant_id", "estimator") or any(text != column[0] for text in column)


def _people(group: GroupTable, people: Participants) -> Iterable[dict[str, Any]]:
    """Yield the columns of participants.tsv by which fits can be split: numbers, or texts of few values."""
    labels = [text.removeprefix("sub-") for text in group.labels["participant_id"]]
    used = 0
    for place, name in enumerate(people.columns):
        cells = {label: row[place][:LONGEST_TEXT] for label, row in people.rows.items()}
        column = [cells.get(label, MISSING) or MISSING for label in labels]
        different = {text for text in column if text != MISSING}
        numbers = {text: _number(text) for text in different}
        if len(different) < 2 or (len(different) > MOST_LEVELS and None in numbers.values()):
            continue
        used += 6 * len(column)
        if used > _LARGEST_PEOPLE and used > 6 * len(column):
            return
        if len(different) > 6 and None not in numbers.values():
            values = [np.nan if text == MISSING else numbers[text] for text in column]
            yield {"name": name, "values": _base64(np.array(values, dtype="<f4"))}
        else:
            yield {"name": name, **_coded(column)}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e30 else None


def _coded(column: Sequence[str]) -> dict[str, Any]:
    """Return the different texts of a column, and for every row which one it is, in few bytes."""
    places = {text: place for place, text in enumerate(dict.fromkeys(column))}
    kind = next(kind for kind, most in CODES.items() if len(places) <= most)
    codes = np.fromiter((places[text] for text in column), dtype=kind, count=len(column))
    return {"levels": list(places), "codes": _base64(codes)}


def _base64(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _inert(text: str) -> str:
    """Write characters that could end a script element, or a line of script, as escapes of JSON."""
    for dangerous in "<>&\u2028\u2029":
        text = text.replace(dangerous, f"\\u{ord(dangerous):04x}")
    return text
