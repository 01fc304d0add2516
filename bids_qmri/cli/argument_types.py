"""Types of arguments: from a text of the command line to a checked value, or to a message that says why not.

Called by argparse on behalf of `cli/parser.py`.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from bids_qmri.options import number

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


def setting(text: str) -> tuple[str, str, float]:
    """Return model, name and value of a setting; which there are is checked later."""
    place, _, value = text.partition("=")
    model, dot, name = place.partition(".")
    try:
        meant = float(value)
    except ValueError:
        meant = math.nan
    if not dot or not name or not math.isfinite(meant):
        raise argparse.ArgumentTypeError(f"{text!r} is not MODEL.SETTING=NUMBER")
    return model.lower(), name, meant


def gigabytes(text: str) -> float:
    """Return the memory in GB; a bare number counts MB, as in fMRIPrep."""
    size = re.fullmatch(r"([\d.e+-]+)([KMGT]?)B?", text)
    if size is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 8000 (MB) or 8G")
    positive = number(float, lambda memory: memory > 0, "a size above 0")
    return positive(size[1]) * MEMORY_UNITS_GB[size[2]]


class PrintVersion(argparse.Action):
    """Print the version and end; it is looked up only then, which costs more than all of a parser."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from bids_qmri import __version__

        print(f"bids_qmri {__version__}")
        parser.exit()
