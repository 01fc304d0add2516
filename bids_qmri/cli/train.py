"""The command ``bids_qmri-train``: a recipe in, a network and its card out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bids_qmri.cli.environment import THREAD_VARIABLES
from bids_qmri.cli.exit import ExitCode, finish
from bids_qmri.cli.finetune import finetune
from bids_qmri.cli.logs import LOGGER, console_log
from bids_qmri.cli.printing import print_text
from bids_qmri.cli.spelling import Parser
from bids_qmri.cli.study_prior import learn_prior
from bids_qmri.errors import QmriError, UsageError

_NUMBERS: dict[str, Any] = {"type": float, "nargs": "+"}
_NUMBER: dict[str, Any] = {"type": float}

FORMER_OPTIONS: Mapping[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "--flip-angles": (("protocol.flip_angle",), _NUMBERS),
    "--tr": (("protocol.repetition_time",), _NUMBER),
    "--bvals": (("protocol.bvals",), _NUMBERS),
    "--times": (("protocol.time",), _NUMBERS),
    "--scheme": (("scheme.bval", "scheme.bvec"), {"nargs": 2}),
    "--b0-threshold": (("scheme.b0_threshold",), _NUMBER),
    "--labels": (("labels.kind",), {}),
    "--weight": (("labels.weight",), _NUMBER),
    "--likelihood": (("labels.likelihood",), {}),
    "--dpar": (("settings.d_par",), _NUMBER),
    "--diso": (("settings.d_iso",), _NUMBER),
    "--snr": (("data.snr",), _NUMBER),
}
"""Options of earlier versions with the keys of recipes that they stand for, for one more release."""


OTHERS = {"prior": learn_prior, "finetune": finetune}
"""Words in place of a recipe, and what they do: learn a prior over a study, tune a network on one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train a network and return the exit code.

    Parameters
    ----------
    argv
        Arguments without the program name; None takes those of the process.
    """
    # libraries read these when they are imported; the processes that simulate share the machine
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    argv = sys.argv[1:] if argv is None else argv
    with console_log():
        try:
            if argv and argv[0] in OTHERS:
                return finish(OTHERS[argv[0]](argv[1:]))
            args = _parser().parse_args(argv)
            code = _list() if args.list else _train(args)
        except QmriError as error:
            LOGGER.error(error)
            code = error.exit_code
        except KeyboardInterrupt:
            LOGGER.error("interrupted; the same command goes on from the last checkpoint")
            code = ExitCode.INTERRUPTED
    return finish(code)


def _list() -> int:
    from bids_qmri.training.recipe import shipped_recipes
    from bids_qmri.training.table import load_toml

    for name, text in shipped_recipes().items():
        print_text(f"{name}: {load_toml(text)['description']}\n")
    return ExitCode.OK


def _train(args: argparse.Namespace) -> int:
    if args.recipe is None:
        raise UsageError(
            "no recipe is given", field="RECIPE", needed="a name that --list shows, or a TOML file"
        )
    LOGGER.info("reading recipe %s", args.recipe)
    from bids_qmri.training.recipe import parse_recipe, recipe_text
    from bids_qmri.training.table import read_setting

    text = recipe_text(args.recipe)
    changes = _former(args) | dict(read_setting(setting) for setting in args.set)
    recipe = parse_recipe(text, _with_scheme(text, changes)).with_seed(args.seed)
    try:
        from bids_qmri.training.run import train

        file, card = train(recipe, args.output, args.processes)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed",
            needed="the packages for training",
            fix="pip install bids_qmri[train]",
        ) from error
    LOGGER.info("network: %s, card: %s", file, card)
    if file.suffix == ".onnx":
        use = f"--models {recipe.model} --network {file}"
        LOGGER.info("use it: bids_qmri BIDS_DIR OUTPUT_DIR participant %s", use)
    return ExitCode.OK


def _former(args: argparse.Namespace) -> dict[str, Any]:
    """Return what options of earlier versions change in the recipe, and say how to write it now."""
    changes: dict[str, Any] = {}
    for option, (keys, _) in FORMER_OPTIONS.items():
        given = getattr(args, option.strip("-").replace("-", "_"))
        if given is None:
            continue
        values = dict(zip(keys, given, strict=True)) if len(keys) > 1 else {keys[0]: given}
        spelled = (f"{k}={','.join(map(str, v)) if isinstance(v, list) else v}" for k, v in values.items())
        LOGGER.warning("%s will go; write --set %s", option, " ".join(spelled))
        changes |= values
    return changes


def _with_scheme(text: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of a recipe with the content of the files of a scheme in place of their names."""
    from bids_qmri.training.table import changed, load_toml

    scheme = changed(load_toml(text), changes).get("scheme")
    names = ("bval", "bvec")
    if not isinstance(scheme, dict) or not any(name in scheme for name in names):
        return dict(changes)
    from bids_qmri.bids.gradients import read_bvals, read_bvecs, read_table
    from bids_qmri.physics.diffusion import B0_THRESHOLD

    for name in names:
        if not isinstance(scheme.get(name), str):
            raise UsageError(
                f"is {scheme.get(name)!r}", field=f"scheme.{name}", needed=f"the name of a .{name} file"
            )
    bval, bvec = (Path(scheme.pop(name)) for name in names)
    threshold = scheme.get("b0_threshold", B0_THRESHOLD)
    bvals = read_bvals(bval, sum(map(len, read_table(bval))))
    bvecs = read_bvecs(bvec, bvals, threshold)
    directions = [] if bvecs is None else bvecs.tolist()
    kept = {key: value for key, value in changes.items() if key.partition(".")[0] != "scheme"}
    return kept | {"scheme": scheme | {"bvals": bvals.tolist(), "bvecs": directions}}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="bids_qmri-train",
        description="Train a network from a recipe; resumes where it was interrupted.",
        epilog="For one diffusion scheme: --set scheme.bval=FILE scheme.bvec=FILE. A prior over the "
        "participants of a study, for --prior: bids_qmri-train prior --help. A network tuned on a study: "
        "bids_qmri-train finetune --help.",
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="name of a recipe, or a TOML file")
    parser.add_argument("--list", action="store_true", help="show the recipes there are, one a line, and end")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="replace values of the recipe: numbers, texts, lists with commas",
    )
    parser.add_argument("--seed", type=int, help="replaces the seed of the recipe")
    parser.add_argument(
        "--output", type=Path, default=Path(), metavar="DIR", help="where the network goes (default: here)"
    )
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="processes that simulate")
    for option, (_, how) in FORMER_OPTIONS.items():
        parser.add_argument(option, help=argparse.SUPPRESS, **how)
    return parser


if __name__ == "__main__":
    sys.exit(main())
