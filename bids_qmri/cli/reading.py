"""Read the command line, and below it the configuration file that it names.

Called by `cli/run.py`. A configuration file holds the same long options (underscores for hyphens) and is
checked by the same parser.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bids_qmri.cli.parser import add_options, build_parser
from bids_qmri.cli.spelling import Parser
from bids_qmri.errors import UsageError

POSITIONALS = ("bids_dir", "output_dir", "analysis_level")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line, and below it the configuration file that it names.

    Parameters
    ----------
    argv
        Arguments without the program name; None takes those of the process.

    Returns
    -------
    argparse.Namespace
        Checked values; options that were not given hold their defaults.

    Raises
    ------
    UsageError
        An argument is unknown or impossible, or the configuration file cannot be read.
    """
    parser = build_parser()
    defaults = {action.dest: action.default for action in parser._actions if action.dest != "help"}
    # Without defaults a namespace holds what was given, which goes before a file.
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    given = vars(parser.parse_args(argv))
    config_file = given.get("config_file")
    below = {} if config_file is None else _read_config_file(config_file)
    return argparse.Namespace(**(defaults | below | given))


def _read_config_file(path: Path) -> dict[str, Any]:
    """Return what a configuration file sets, checked by the parser that checks the command line."""
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"cannot be read ({error})", file=path, field="--config-file", needed="a TOML file"
        ) from error
    options = Parser(add_help=False)
    add_options(options)
    tokens = [
        token for key, value in content.items() if key not in POSITIONALS for token in _tokens(key, value)
    ]
    try:
        given = options.parse_args(tokens)
    except UsageError as error:
        raise UsageError(error.seen, file=path, fix="use the long options of bids_qmri --help") from error
    defaults = vars(options.parse_args([]))
    return {key: value for key, value in vars(given).items() if value != defaults[key]}


def _tokens(key: str, value: object) -> list[str]:
    """Spell one line of a configuration file as on the command line."""
    flag = "--" + key.replace("_", "-")
    if value is False or value == []:
        return []
    if value is True:
        return [flag]
    if key == "verbose":
        return [flag] * int(str(value))
    if isinstance(value, list):
        return [flag, *map(str, value)]
    return [f"{flag}={value}"]
