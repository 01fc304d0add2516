"""The command ``bids_qmri-evaluate``: how estimators do on sub-protocols of the measured data of a study."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bids_qmri import catalogue
from bids_qmri.cli.argument_types import label, limits, named_path
from bids_qmri.cli.datasets import named_datasets
from bids_qmri.cli.environment import ONE_THREAD
from bids_qmri.cli.exit import ExitCode, finish
from bids_qmri.cli.logs import LOGGER, console_log
from bids_qmri.cli.output_folder import output_folder
from bids_qmri.cli.spelling import Parser
from bids_qmri.errors import QmriError
from bids_qmri.options import number

if TYPE_CHECKING:
    from bids_qmri.evaluation.study import Question

VOXELS = 5000


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate estimators on a study, write tables and a page, and return the exit code.

    Parameters
    ----------
    argv
        Arguments without the program name; None takes those of the process.
    """
    os.environ.update(ONE_THREAD)
    with console_log():
        try:
            code: int = _evaluate(_parser().parse_args(argv))
        except QmriError as error:
            LOGGER.error(error)
            code = error.exit_code
        except KeyboardInterrupt:
            LOGGER.error("interrupted; nothing was written")
            code = ExitCode.INTERRUPTED
    return finish(code)


def _evaluate(args: argparse.Namespace) -> int:
    from bids_qmri.bids.acquisition import ReadOptions
    from bids_qmri.reports.evaluation import write_evaluation
    from bids_qmri.workflows.evaluate import evaluate_study

    options = ReadOptions(derivatives=named_datasets(args.derivatives), motion=False)
    folder, failed = output_folder(args.output, args.bids), False
    for name in args.models:
        found = evaluate_study(args.bids.resolve(), _question(args, name), args.participant_label, options)
        failed |= found.failed
        for path in write_evaluation(folder, found):
            LOGGER.info("%s", path)
    return ExitCode.FAILED if failed else ExitCode.OK


def _question(args: argparse.Namespace, model_name: str) -> Question:
    from bids_qmri.estimation.preparation import require_limits
    from bids_qmri.estimation.prior import prior_choice
    from bids_qmri.evaluation.study import Question
    from bids_qmri.evaluation.subsets import require_lengths
    from bids_qmri.workflows.evaluate import base_of, conventional_of, estimators_for, tuned_notes
    from bids_qmri.workflows.networks import network_named

    model, bounds = catalogue.get_model(model_name), dict(args.bounds)
    require_lengths(model_name, args.subset)
    networks = [network_named(name) for name in args.network]
    estimators = estimators_for(model_name, args.estimators, networks)
    for estimator in estimators.values():
        require_limits(model, estimator, bounds)
    return Question(
        model,
        estimators,
        base_of(model_name),
        conventional_of(model_name, estimators),
        bounds,
        prior_choice(args.prior, model),
        tuple(args.subset),
        args.random_seed,
        args.voxels,
        tuned_notes(networks),
    )


def _values(text: str) -> tuple[float, ...]:
    """Return the measurements of a sub-protocol."""
    try:
        found = tuple(float(value) for value in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers with commas between them") from None
    if len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(f"{text!r} holds a value twice")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="bids_qmri-evaluate",
        description="Say how estimators do on shorter protocols of a study's own data: estimates from some "
        "of the measurements of each participant are compared with estimates from all of them.",
        epilog="Writes evaluation_MODEL.html, evaluation_MODEL.tsv, evaluation_MODEL_agreement.tsv, and "
        "data dictionaries of the tables.",
    )
    parser.add_argument("--bids", type=Path, required=True, metavar="DIR", help="the dataset")
    parser.add_argument(
        "-d",
        "--derivatives",
        nargs="+",
        action="extend",
        type=named_path,
        default=[],
        metavar="NAME=PATH",
        help="derivative datasets with masks (by the name masks), regions (dseg), preprocessed images",
    )
    parser.add_argument(
        "--participant-label", nargs="+", action="extend", type=label("sub"), default=[], metavar="LABEL"
    )
    _add_what(parser)
    _add_how(parser)
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="default: here")
    return parser


def _add_what(parser: argparse.ArgumentParser) -> None:
    """Add models, estimators and networks."""
    parser.add_argument(
        "--models",
        nargs="+",
        required=True,
        choices=catalogue.model_names(),
        metavar="MODEL",
        help="what to fit",
    )
    parser.add_argument(
        "--estimators",
        nargs="+",
        action="extend",
        default=[],
        choices=catalogue.estimator_words(),
        metavar="ESTIMATOR",
        help="default: lsq, mle, bayes and ncde as far as the model has them; least squares is always there",
    )
    parser.add_argument(
        "--network",
        nargs="+",
        action="extend",
        default=[],
        metavar="NETWORK",
        help="trained networks: a name that bids_qmri-networks list shows, or a file, under the name of it",
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    """Add what changes the protocols, the fits and the voxels."""
    parser.add_argument(
        "--subset",
        nargs="+",
        action="extend",
        type=_values,
        default=[],
        metavar="VALUES",
        help="sub-protocols instead of those of the technique, as 0,10,50,500 (s/mm^2) or 2,6,20 (degrees); "
        "what was measured nearby (within a quarter) stands for each value",
    )
    parser.add_argument(
        "--bounds",
        nargs="+",
        action="extend",
        type=limits,
        default=[],
        metavar="NAME=LOW,HIGH",
        help="as of bids_qmri",
    )
    parser.add_argument(
        "--prior", default="scan", metavar="{scan,box,FILE}", help="as of bids_qmri; default: scan"
    )
    parser.add_argument(
        "--voxels",
        type=number(int, lambda n: n >= 0, "a whole number, 0 or above"),
        default=VOXELS,
        metavar="N",
        help=f"about so many of each participant, evenly spread; 0: all; default: {VOXELS}",
    )
    parser.add_argument(
        "--random-seed",
        type=number(int, lambda n: 0 <= n < 2**32, "a whole number, 0 or above and below 2^32"),
        default=0,
        metavar="N",
        help="of the random sub-protocols; default: 0",
    )


if __name__ == "__main__":
    sys.exit(main())
