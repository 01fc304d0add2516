"""The command ``bids_qmri-train``: a recipe in, a network and its card out."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bids_qmri.cli.environment import THREAD_VARIABLES
from bids_qmri.cli.exit import ExitCode, finish
from bids_qmri.cli.logs import LOGGER, console_log
from bids_qmri.errors import QmriError, UsageError
from bids_qmri.physics.diffusion import B0_THRESHOLD, DiffusionProtocol

PROTOCOL = ("flip_angle", "repetition_time", "bvals", "time")
"""Arguments that give the only protocol of a network."""

SCHEME = ("scheme", "labels", "weight", "likelihood", "dpar", "diso", "snr", "b0_threshold")
"""Arguments of the network for one diffusion scheme."""

SHORT = {"noddi": "rot2025-noddi"}
"""Short names of recipes."""

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
        from bids_qmri.training.kuppens.recipe import is_study
        from bids_qmri.training.recipe import recipe_text
        from bids_qmri.training.rot2025.recipe import is_scheme_recipe
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed",
            needed="the packages for training",
            way_out="pip install bids_qmri[train]",
        ) from error
    text = recipe_text(SHORT.get(args.recipe, args.recipe))
    protocol = {key: value for key in PROTOCOL if (value := getattr(args, key)) is not None}
    scheme = {key: value for key in SCHEME if (value := getattr(args, key)) is not None}
    for_scheme, study = is_scheme_recipe(text), is_study(text)
    if scheme and not for_scheme:
        raise UsageError(f"{', '.join(scheme)} given for {args.recipe}", field="RECIPE", needed="noddi")
    if protocol and not study:
        raise UsageError(
            f"{', '.join(protocol)} given for {args.recipe}, which has no such protocol",
            field="RECIPE",
            needed="mlp-vfa, mlp-ivim or mlp-dce",
        )
    if for_scheme:
        files = _train_for_scheme(args, text)
    elif study:
        files = _train_study(args, text, protocol)
    else:
        files = _train_for_any(args, text)
    for file in files:
        LOGGER.info("network: %s", file)
    return ExitCode.OK


def _train_for_any(args: argparse.Namespace, text: str) -> tuple[Path, Path]:
    from bids_qmri.training.noddi.recipe import is_shell_recipe, parse_shell_recipe
    from bids_qmri.training.noddi.run import train_shells
    from bids_qmri.training.recipe import parse_recipe
    from bids_qmri.training.run import train_recipe

    if is_shell_recipe(text):
        shells = parse_shell_recipe(text).with_seed(args.seed)
        return train_shells(shells, text, args.output, args.processes)
    return train_recipe(parse_recipe(text).with_seed(args.seed), text, args.output, args.processes)


def _train_study(args: argparse.Namespace, text: str, protocol: Mapping[str, Any]) -> tuple[Path, Path]:
    from bids_qmri.training.kuppens.recipe import parse_study
    from bids_qmri.training.kuppens.run import train_study

    recipe = parse_study(text).with_seed(args.seed).with_protocol(protocol)
    return train_study(recipe, text, args.output)


def _train_for_scheme(args: argparse.Namespace, text: str) -> tuple[Path, Path]:
    from bids_qmri.bids.gradients import read_bvals, read_bvecs, read_table
    from bids_qmri.training.rot2025.recipe import parse_scheme_recipe
    from bids_qmri.training.rot2025.run import train_scheme

    if args.scheme is None:
        raise UsageError("no scheme is given", field="--scheme", needed="a .bval and a .bvec file")
    recipe = (
        parse_scheme_recipe(text)
        .changed(seed=args.seed)
        .changed("labels", kind=args.labels, weight=args.weight, likelihood=args.likelihood)
        .changed("diffusivity", d_par=args.dpar, d_iso=args.diso)
        .changed("signals", snr=args.snr)
    )
    threshold = B0_THRESHOLD if args.b0_threshold is None else args.b0_threshold
    bval, bvec = args.scheme
    bvals = read_bvals(bval, sum(map(len, read_table(bval))))
    scheme = DiffusionProtocol(bvals, read_bvecs(bvec, bvals, threshold), b0_threshold=threshold)
    return train_scheme(recipe, scheme, text, args.output)


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
    _add_scheme(parser.add_argument_group("the network of noddi, for one diffusion scheme"))
    return parser


def _add_scheme(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--scheme", nargs=2, type=Path, metavar=("BVAL", "BVEC"), help="b-values and directions"
    )
    group.add_argument(
        "--labels",
        choices=("gt", "mle", "composite"),
        help="what is learnt: the truth (default), a fit, or both",
    )
    group.add_argument("--weight", type=float, metavar="W", help="weight of the fit in composite, 0 to 1")
    group.add_argument(
        "--likelihood",
        choices=("gaussian", "rician"),
        help="of the fit: gaussian (least squares, as the toolbox) or rician with the true noise level",
    )
    group.add_argument("--dpar", type=float, metavar="D", help="diffusivity along neurites in mm^2/s")
    group.add_argument("--diso", type=float, metavar="D", help="diffusivity of free water in mm^2/s")
    group.add_argument("--snr", type=float, metavar="SNR", help="signal-to-noise ratio at b = 0")
    group.add_argument(
        "--b0-threshold", type=float, metavar="B", help="b-values up to this count as b = 0, s/mm^2"
    )
