"""TOML tables as dataclasses, checked key by key; values of the command line over those of a file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from bids_qmri.errors import UsageError

T = TypeVar("T")

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def load_toml(text: str) -> dict[str, Any]:
    """Return the content of a recipe, unchecked; a `UsageError` says that the text is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"recipe is not TOML ({error})", field="RECIPE", needed="a TOML file") from error


def read_setting(text: str) -> tuple[str, Any]:
    """Return key and value of ``section.key=value``: as TOML has it, a list with commas, or a text."""
    key, equal, value = text.partition("=")
    if not (key.strip() and equal and value.strip()):
        raise UsageError(f"is {text!r}", field="--set", needed="section.key=value")
    items = value.split(",")
    plain = len(items) == 1 or value.strip().startswith(("[", '"', "'"))
    return key.strip(), _value(value) if plain else [_value(item) for item in items]


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def changed(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table in which values are replaced or added, by dotted key."""
    found = dict(table)
    for key, value in changes.items():
        first, dot, rest = key.partition(".")
        inner = found.get(first, {})
        if dot and not isinstance(inner, dict):
            raise UsageError(f"{first} is {inner!r}, not a table", field=f"recipe: {key}", needed="a key")
        found[first] = changed(inner, {rest: value}) if dot else value
    return found


def build(kind: type[T], table: object, where: str) -> T:
    """Make a dataclass from a TOML table, or say which key is wrong.

    Parameters
    ----------
    kind
        A dataclass of numbers, booleans, texts, tuples of these, and mappings of names to dataclasses.
    table
        What TOML holds there.
    where
        Name of the table, for messages.

    Raises
    ------
    UsageError
        If a key is unknown or missing, or a value is of the wrong kind.
    """
    if not isinstance(table, dict):
        raise UsageError(f"is {table!r}", field=f"recipe: {where}", needed="a table")
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    needed = {item.name for item in fields(kind) if item.default is MISSING}  # type: ignore[arg-type]
    require_keys(set(table), known, needed, f"{where}.")
    hints = get_type_hints(kind)
    return kind(**{key: checked(value, hints[key], f"{where}.{key}") for key, value in table.items()})


def require_keys(given: set[str], known: set[str], needed: set[str], where: str) -> None:
    """Refuse keys that are unknown, or missing; `where` goes before their names."""
    for problem, keys in (("unknown", given - known), ("missing", needed - given)):
        if keys:
            names = ", ".join(where + key for key in sorted(keys))
            raise UsageError(
                f"{problem}: {names}",
                field="recipe",
                needed=f"{', '.join(sorted(known)) or 'no key'} and nothing else",
            )


def checked(value: object, hint: Any, where: str) -> Any:
    """Return a TOML value as `hint` wants it, or say that it is of the wrong kind."""
    if get_origin(hint) is tuple and isinstance(value, list):
        kinds = get_args(hint)
        kinds = (kinds[0],) * len(value) if kinds[-1] is Ellipsis else kinds
        if len(kinds) == len(value):
            return tuple(checked(item, kind, where) for item, kind in zip(value, kinds, strict=True))
    if get_origin(hint) is Mapping and isinstance(value, dict):
        return {key: build(get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    raise UsageError(f"is {value!r}", field=f"recipe: {where}", needed=_spelled(hint))


def _spelled(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return f"a list of {', '.join(_spelled(kind) for kind in get_args(hint) if kind is not Ellipsis)}"
    return WORDS.get(hint, "a table")
