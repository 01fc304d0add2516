"""Options of techniques on the command line, as data that imports nothing heavy.

A technique that has any declares them as `OPTIONS` in a module ``options`` of its folder. Their values reach
its reader as `ReadOptions.values`; those for which the module's `settings` says so become settings of models.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bids_qmri import catalogue


@dataclass(frozen=True)
class Option:
    """One option.

    Parameters
    ----------
    flag
        As on the command line: ``--relaxivity``.
    type
        From a text to a checked value; raises `argparse.ArgumentTypeError`.
    metavar, help
        For people.
    nargs
        Number of values; None: one.
    """

    flag: str
    type: Callable[[str], Any]
    metavar: str | tuple[str, ...]
    help: str
    nargs: int | None = None

    @property
    def name(self) -> str:
        """Name of its value."""
        return self.flag.lstrip("-").replace("-", "_")


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


def options_by_title() -> dict[str, tuple[Option, ...]]:
    """Return the options of all techniques by the title of their group."""
    found: dict[str, tuple[Option, ...]] = {}
    for module in _modules():
        found[module.TITLE] = module.OPTIONS
    return found


def read_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what readers are told, of all values of a command line; those not given are left out."""
    names = [
        option.name for module in _modules() for option in module.OPTIONS if not hasattr(module, "settings")
    ]
    return {name: given[name] for name in names if given.get(name) is not None}


def model_settings(given: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return what models are told, by model, of all values of a command line."""
    found: dict[str, dict[str, float]] = {}
    for module in _modules():
        for name, settings in module.settings(given).items() if hasattr(module, "settings") else ():
            found.setdefault(name, {}).update(settings)
    return found


def _modules() -> list[Any]:
    names = dict.fromkeys(technique.models[0].name for technique in catalogue.TECHNIQUES)
    loaded = (catalogue.module(name, "options") for name in names)
    return [module for module in loaded if module is not None]


def transmit_unit(text: str) -> str | float:
    """Return the unit of a map of B1+: a word, or the value that it has where the flip angle is nominal."""
    if text in ("auto", "factor", "percent"):
        return text
    return number(float, lambda value: value > 0, "auto, factor, percent, or a number above 0")(text)
