"""Read the command line, and below it the configuration file that it names.

Called by `cli/run.py`. A configuration file holds the same long options (underscores for hyphens) and is
checked by the same parser.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bids_qmri.cli.parser import add_options, build_parser
from bids_qmri.cli.spelling import Parser
from bids_qmri.errors import InputError, UsageError
from bids_qmri.files import OPTIONS_LIMIT, parsed, read_text

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
    content = read_options_file(path, tomllib.loads, field="--config-file", needed="a TOML file")
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


def read_options_file(path: Path, parse: Callable[[str], Any], *, field: str, needed: str) -> Any:
    """Return what a file that an option names says.

    Parameters
    ----------
    path
        The file.
    parse
        From text to content.
    field, needed
        The option and the kind of file, for the message.

    Raises
    ------
    UsageError
        The file cannot be read, or not be parsed.
    """
    try:
        text = read_text(path, OPTIONS_LIMIT, needed=needed, fix="check the path and the file")
        return parsed(parse, text, path, needed=needed, fix="correct the file, or leave the option out")
    except InputError as error:
        seen = error.seen if error.seen.startswith("cannot be read") else f"cannot be read: it {error.seen}"
        raise UsageError(seen, file=path, field=field, needed=error.needed, fix=error.fix) from error


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
