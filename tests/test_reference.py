"""The reference holds every public name, with what goes in, what comes out, and what is raised."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import bids_qmri
from bids_qmri import catalogue, testing
from bids_qmri.physics.protocol import Protocol

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "reference.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^::: (\S+)$", PAGE, re.MULTILINE)


def found(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def documented() -> Iterator[tuple[str, Any]]:
    """Yield what the reference shows: names on the page, and the public members of classes."""
    for path in LISTED:
        item = found(path)
        yield path, item
        for name, member in vars(item).items() if inspect.isclass(item) else ():
            if not name.startswith("_") and inspect.isfunction(member):
                yield f"{path}.{name}", member


DOCUMENTED = dict(documented())


def test_every_name_that_the_package_gives_is_in_the_reference() -> None:
    shown = [found(path) for path in LISTED]
    for name in set(bids_qmri.__all__) - {"__version__"}:
        assert getattr(bids_qmri, name) in shown, name
    for name, item in vars(testing).items():
        if inspect.isfunction(item) and item.__module__ == testing.__name__ and not name.startswith("_"):
            assert item in shown, name


def test_every_protocol_that_a_fit_takes_is_in_the_reference() -> None:
    shown = [found(path) for path in LISTED]
    for model in catalogue.model_names():
        kind = catalogue.get_model(model).protocol
        bases = [base for base in kind.__mro__ if issubclass(base, Protocol) and base is not Protocol]
        assert any(base in shown for base in bases), f"{kind.__name__} of {model}"


def overrides(path: str) -> bool:
    """Tell whether a method stands for one of a class above, whose words hold for it."""
    owner, _, name = path.rpartition(".")
    if owner not in LISTED:
        return False
    return any(hasattr(base, name) for base in found(owner).__mro__[1:])


@pytest.mark.parametrize("path", DOCUMENTED)
def test_the_reference_describes_what_goes_in_comes_out_and_is_raised(path: str) -> None:
    item = DOCUMENTED[path]
    text = inspect.getdoc(item) or ""
    assert text, "no docstring"
    if overrides(path):
        return
    described = set(re.findall(r"^ *((?:\w+, )*\w+)$", section(text, "Parameters"), re.MULTILINE))
    names = {name for line in described for name in line.split(", ")}
    names |= set(re.findall(r"`(\w+)`", text))
    assert arguments(item) <= names, f"undescribed: {arguments(item) - names}"
    source = inspect.getsource(item) if inspect.isfunction(item) else ""
    for error in set(re.findall(r"^\s+raise (\w+)\(", source, re.MULTILINE)):
        assert error in section(text, "Raises"), f"{error} is not said"


def section(text: str, title: str) -> str:
    """Return the lines of a section of a docstring, empty if there is none."""
    match = re.search(rf"^{title}\n-+\n(.*?)(?=^\w+\n-+$|\Z)", text, re.MULTILINE | re.DOTALL)
    return match[1] if match else ""


def arguments(item: Any) -> set[str]:
    """Return what a caller passes; properties and members of enumerations take nothing."""
    if inspect.isclass(item) and not hasattr(item, "__dataclass_fields__"):
        return set()
    names = set(inspect.signature(item).parameters)
    return names - {"self", "cls"}
