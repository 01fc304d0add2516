"""The command ``bids_qmri-train``: a recipe in, a network and its card out."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bids_qmri.cli.environment import THREAD_VARIABLES
from bids_qmri.cli.exit import ExitCode, finish
from bids_qmri.cli.logs import LOGGER, console_log
from bids_qmri.errors import QmriError, UsageError

PROTOCOL = ("flip_angle", "repetition_time", "bvals", "time")
"""Arguments that give the only protocol of a network."""

_NUMBERS: dict[str, Any] = {"type": float, "nargs": "+", "metavar": "NUMBER"}


def main(argv: Sequence[str] | None = None) -> int:
    """Train a network and return the exit code.

    Parameters
    ----------
    argv
        Arguments without the program name; None takes those of the process.
    """
    args = _parser().parse_args(argv)
    # libraries read these when they are imported; the processes that simulate share the machine
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    with console_log():
        try:
            code = _run(args)
        except QmriError as error:
            LOGGER.error(error)
            code = error.exit_code
        except KeyboardInterrupt:
            LOGGER.error("interrupted; the same command goes on from the last checkpoint")
            code = ExitCode.INTERRUPTED
    return finish(code)


def _run(args: argparse.Namespace) -> int:
    try:
        from bids_qmri.training.kuppens.recipe import is_study, parse_study
        from bids_qmri.training.kuppens.run import train_study
        from bids_qmri.training.recipe import parse_recipe, recipe_text
        from bids_qmri.training.run import train_recipe
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed",
            needed="the packages for training",
            way_out="pip install bids_qmri[train]",
        ) from error
    text = recipe_text(args.recipe)
    protocol = {key: value for key in PROTOCOL if (value := getattr(args, key)) is not None}
    if is_study(text):
        study = parse_study(text).with_seed(args.seed).with_protocol(protocol)
        files = train_study(study, text, args.output)
    elif protocol:
        raise UsageError(
            f"{', '.join(protocol)} given for {args.recipe}, which is for any protocol",
            field="RECIPE",
            needed="mlp-vfa, mlp-ivim or mlp-dce",
        )
    else:
        files = train_recipe(parse_recipe(text).with_seed(args.seed), text, args.output, args.processes)
    for file in files:
        LOGGER.info("wrote %s", file)
    return ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bids_qmri-train", description="Train a network from a recipe; resumes where it was interrupted."
    )
    parser.add_argument("recipe", metavar="RECIPE", help="name of a shipped recipe, or a TOML file")
    parser.add_argument("--seed", type=int, help="replaces the seed of the recipe")
    parser.add_argument(
        "--output", type=Path, default=Path(), metavar="DIR", help="where the network goes (default: here)"
    )
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="processes that simulate")
    only = parser.add_argument_group("the only protocol of mlp-vfa, mlp-ivim and mlp-dce")
    only.add_argument("--flip-angles", dest="flip_angle", **_NUMBERS, help="flip angles in degrees")
    only.add_argument("--tr", dest="repetition_time", type=float, metavar="TR", help="repetition time in s")
    only.add_argument("--bvals", **_NUMBERS, help="b-values in s/mm^2")
    only.add_argument("--times", dest="time", **_NUMBERS, help="frame times in s after arrival of the bolus")
    return parser
