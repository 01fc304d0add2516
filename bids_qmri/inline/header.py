"""The XML header of a stream: what it says about diffusion, flip angles, repetition times and counts.

Hosts may send a dummy text instead; then nothing is known from it. TR is in ms and angles in degrees there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

import numpy as np

from bids_qmri.inline.meta import parse_xml

COUNTERS = ("average", "contrast", "phase", "repetition", "set")
"""Counters of the image header that can tell encodings apart, slowest first."""


LISTED = ("flipAngle_deg", "TR", "TE", "TI")
"""Sequence parameters of the MRD header that list a value per encoding; degrees and ms."""


@dataclass(frozen=True)
class StreamHeader:
    """What is used of the header.

    Parameters
    ----------
    diffusion
        b-value in s/mm^2 and direction in patient axes (right to left, front to back, foot to head) of each
        encoding.
    diffusion_counter
        The counter that indexes `diffusion`: one of `COUNTERS`, or ``user_0`` to ``user_7``.
    lists
        Values of sequence parameters as listed, by the name of their element (`LISTED`), in its unit.
    counts
        Number of values of a counter, by its name; slices too.
    name
        What the protocol or series is called.
    problem
        Why nothing could be read, if so.
    """

    diffusion: tuple[tuple[float, tuple[float, float, float] | None], ...] = ()
    diffusion_counter: str = ""
    lists: dict[str, tuple[float, ...]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    name: str = ""
    problem: str = ""


def parse_header(text: str) -> StreamHeader:
    """Read the header; what is missing or cannot be read stays unknown."""
    try:
        root = parse_xml(text.encode())
    except ValueError as error:
        return StreamHeader(problem=f"the XML header is not used: {error}")
    counter = _text(root, "diffusionDimension")
    counts = {
        _tag(limit): int(highest[0]) + 1
        for limits in _all(root, "encodingLimits")
        for limit in limits
        if (highest := _numbers(_all(limit, "maximum"))) and 0 <= highest[0] < 65536
    }
    return StreamHeader(
        diffusion=tuple(_diffusion(root)),
        diffusion_counter=counter,
        lists={name: tuple(_numbers(_all(root, name))) for name in LISTED},
        counts=counts,
        name=_text(root, "seriesDescription") or _text(root, "protocolName"),
    )


def _diffusion(root: Element) -> Iterator[tuple[float, tuple[float, float, float] | None]]:
    for entry in _all(root, "diffusion"):
        b = _numbers(_all(entry, "bvalue"))
        direction = [_numbers(_all(entry, axis)) for axis in ("rl", "ap", "fh")]
        known = all(direction)
        yield (
            b[0] if b else np.nan,
            (direction[0][0], direction[1][0], direction[2][0]) if known else None,
        )


def _tag(element: Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _all(root: Element, name: str) -> list[Element]:
    return [element for element in root.iter() if _tag(element) == name]


def _text(root: Element, name: str) -> str:
    return next(((element.text or "").strip() for element in _all(root, name)), "")


def _numbers(elements: list[Element]) -> list[float]:
    """Return the numbers that the elements hold; others are left out."""
    found = []
    for element in elements:
        try:
            found.append(float(element.text or ""))
        except ValueError:
            continue
    return [number for number in found if np.isfinite(number)]
