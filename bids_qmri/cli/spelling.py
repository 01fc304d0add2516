"""How a command line is read: options with - or _, repeated options add up, errors name the likely word.

Used by all commands; `cli.parser` says which options there are. Shells complete them where the extra
``completion`` is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from bids_qmri.errors import UsageError


class _StoreOnce(argparse.Action):
    """Keep a value; another one for the same option is refused, since one of them would be lost."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        earlier = getattr(namespace, self.dest, self.default)
        if earlier not in (self.default, values):
            parser.error(f"argument {option_string}: is given twice, as {earlier} and {values}")
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """Parser whose errors are exceptions, so that one place ends every run."""

    def __init__(self, **about: Any) -> None:
        super().__init__(allow_abbrev=False, **about)
        self.register("action", None, _StoreOnce)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse; tell a shell that asks, by that variable, which words may follow, and end."""
        if "_ARGCOMPLETE" in os.environ:
            from argcomplete import autocomplete

            autocomplete(self)
        return super().parse_args(args, namespace)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, taking ``--participant_label`` for ``--participant-label``."""
        tokens = sys.argv[1:] if args is None else args
        return super().parse_known_args([_with_hyphens(token) for token in tokens], namespace)

    def error(self, message: str) -> NoReturn:
        likely = self._likely(message)
        meant = f"did you mean {likely}? " if likely else ""
        raise UsageError(message, fix=f"{meant}see {self.prog} --help")

    def _likely(self, message: str) -> str:
        """Return the word that a person may have meant; empty if none is near."""
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if choice is not None:
            return _nearest(choice[1], [word.strip(" '") for word in choice[2].split(",")])
        unknown = re.search(r"unrecognized arguments: .*?(--?[\w-]+)", message)
        return "" if unknown is None else _nearest(unknown[1], list(self._option_string_actions))


def _with_hyphens(token: str) -> str:
    name, equals, value = token.partition("=")
    return name.replace("_", "-") + equals + value if token.startswith("--") else token


def _nearest(word: str, known: Sequence[str]) -> str:
    """Return the known word that is nearest, or the one that it begins."""
    begun = [other for other in known if len(word) > len("--") and other.startswith(word)]
    near = begun or get_close_matches(word.lower(), known, n=1, cutoff=0.7)
    return min(near, key=len) if near else ""
