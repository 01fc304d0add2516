"""Types of arguments: from a text of the command line to a checked value, or to a message that says why not.

Called by argparse on behalf of `cli/parser.py`.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path

POPULATION_INPUTS = ("parker", "georgiou", "weinmann", "rata")

MEMORY_UNITS_GB = {"": 1e-3, "K": 1e-6, "M": 1e-3, "G": 1.0, "T": 1e3}


def label(entity: str) -> Callable[[str], str]:
    """Return the type of a label that may carry its entity."""

    def checked(text: str) -> str:
        bare = text.removeprefix(f"{entity}-")
        if not bare.isascii() or not bare.replace("+", "").isalnum():
            raise argparse.ArgumentTypeError(f"{text!r} is not a label of letters and digits")
        return bare

    return checked


def named_path(text: str) -> tuple[str, Path]:
    """Return a name and the path that it stands for."""
    name, equals, path = text.partition("=")
    if not equals or not path or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH with a NAME of letters and digits")
    return name, Path(path)


def limits(text: str) -> tuple[str, tuple[float, float]]:
    """Return the name of a parameter and its limits; which names there are is checked later."""
    name, _, ends = text.partition("=")
    try:
        low, high = (float(end) for end in ends.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=LOW,HIGH with two numbers") from None
    if not math.isfinite(low) or not math.isfinite(high) or low > high:
        raise argparse.ArgumentTypeError(f"{text!r}: needs two finite numbers, the lower one first")
    return name.lower(), (low, high)


def arterial_input(text: str) -> str:
    """Return the name of a population function, or the absolute path of a table."""
    if text in POPULATION_INPUTS:
        return text
    if not Path(text).is_file():
        names = ", ".join(POPULATION_INPUTS)
        raise argparse.ArgumentTypeError(f"{text!r} is neither one of {names} nor a file")
    return str(Path(text).resolve())


def number(
    kind: type[int] | type[float], accept: Callable[[float], bool], what: str
) -> Callable[[str], float]:
    """Return the type of a finite number that `accept` holds for; `what` says so in words."""

    def checked(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
        if not math.isfinite(value) or not accept(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return value

    return checked


def gigabytes(text: str) -> float:
    """Return the memory in GB; a bare number counts MB, as in fMRIPrep."""
    size = re.fullmatch(r"([\d.e+-]+)([KMGT]?)B?", text)
    if size is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 8000 (MB) or 8G")
    positive = number(float, lambda memory: memory > 0, "a size above 0")
    return positive(size[1]) * MEMORY_UNITS_GB[size[2]]
