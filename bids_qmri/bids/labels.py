"""Whether labels of images agree with what their sidecars say of them.

BIDS counts settings by labels and tells them by keys. Keys decide; where labels contradict them, one of both
belongs to another image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from bids_qmri.bids.layout import BidsFile, as_index
from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.errors import caution

TIMES = {"echo": "EchoTime", "inv": "InversionTime"}
"""Labels that count images in the order in which they are acquired, and the key that rises."""

ALIKE = 0.01
"""Share by which angles of one label may differ."""


def label_doubts(images: Sequence[BidsFile], sidecars: Sequence[Sidecar]) -> Iterator[str]:
    """Yield what labels of one series contradict.

    Parameters
    ----------
    images, sidecars
        Of one series.
    """
    rows = list(zip(images, sidecars, strict=True))
    flips: dict[str, list[tuple[float, Sidecar]]] = {}
    for image, sidecar in rows:
        angle, label = _number(sidecar, "FlipAngle"), image.entities.get("flip")
        if angle is not None and label is not None:
            flips.setdefault(as_index("flip", label), []).append((angle, sidecar))
    for label, found in flips.items():
        (low, _), (high, sidecar) = min(found, key=_first), max(found, key=_first)
        if high - low > ALIKE * high:
            yield caution(
                f"images of one label, flip-{label}, have {low:g} and {high:g} degrees",
                file=sidecar.where("FlipAngle"),
                field="FlipAngle",
                needed="one flip angle for each label",
                fix="check that no two images have exchanged their angles; the keys are used",
            )
    for entity, key in TIMES.items():
        yield from _disorder(rows, entity, key)


def _disorder(rows: Sequence[tuple[BidsFile, Sidecar]], entity: str, key: str) -> Iterator[str]:
    """Yield the first pair of images whose labels and times run against each other."""
    groups: dict[tuple[tuple[str, str], ...], list[tuple[int, float, Sidecar]]] = {}
    for image, sidecar in rows:
        label, time = image.entities.get(entity, ""), _number(sidecar, key)
        if label.isdecimal() and time is not None:
            others = tuple(sorted(image.without(entity).items()))
            groups.setdefault(others, []).append((int(label), time, sidecar))
    for group in groups.values():
        group.sort(key=lambda one: one[0])
        for (before, early, _), (after, late, sidecar) in pairwise(group):
            if late < early:
                yield caution(
                    f"{entity}-{before} has {early:g} s and {entity}-{after} {late:g} s",
                    file=sidecar.where(key),
                    field=key,
                    needed="times that rise with the labels",
                    fix="check that no two images have exchanged their times; the keys are used",
                )
                return


def _number(sidecar: Sidecar, key: str) -> float | None:
    try:
        return float(sidecar.values[key])
    except (KeyError, TypeError, ValueError):
        return None


def _first(found: tuple[float, Sidecar]) -> float:
    return found[0]
