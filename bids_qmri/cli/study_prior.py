"""The command ``bids_qmri-train prior``: learn a prior over a study, and write it for --prior."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bids_qmri.cli.argument_types import label, named_path
from bids_qmri.cli.datasets import named_datasets
from bids_qmri.cli.exit import ExitCode
from bids_qmri.cli.logs import LOGGER
from bids_qmri.cli.output_folder import output_folder
from bids_qmri.cli.spelling import Parser

FEWEST = 3
"""Participants below which what they share is not what a study shares."""


def learn_prior(argv: Sequence[str]) -> int:
    """Learn and write a prior; return the exit code.

    Parameters
    ----------
    argv
        Arguments behind ``prior``.

    Raises
    ------
    QmriError
        The call is impossible, or the study cannot teach a prior.
    """
    args = _parser().parse_args(argv)
    from bids_qmri.bids.acquisition import ReadOptions
    from bids_qmri.bids.derivatives import write_atomic
    from bids_qmri.workflows.study_prior import as_toml, learn_study_prior

    name = f"prior-{args.model}.toml"
    file = args.output or Path(name)
    file = file / name if file.is_dir() else file
    file = output_folder(file.parent, args.bids) / file.name
    options = ReadOptions(derivatives=named_datasets(args.derivatives))
    found = learn_study_prior(
        args.bids.resolve(), args.model, args.participant_label, options, args.random_seed
    )
    people = {scan.split("_")[0] for scan in found.scans}
    if len(people) < FEWEST:
        LOGGER.warning(
            "%d participants taught this prior: it says what is usual in them, not in a study", len(people)
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, as_toml(found).encode("utf-8"))
    LOGGER.info(
        "%s: %s; use it: bids_qmri BIDS_DIR OUTPUT_DIR participant --prior %s", file, found.prior.origin, file
    )
    return ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="bids_qmri-train prior",
        description="Learn where the parameters of a model lie in a study, for --prior: one prior for all "
        "of its participants, so that they can be compared.",
    )
    parser.add_argument("--bids", type=Path, required=True, metavar="DIR", help="the dataset")
    parser.add_argument("--model", required=True, metavar="NAME", help="a word of --models")
    parser.add_argument("-d", "--derivatives", nargs="+", type=named_path, default=[], metavar="NAME=PATH")
    parser.add_argument("--participant-label", nargs="+", type=label("sub"), default=[], metavar="LABEL")
    parser.add_argument("--random-seed", type=int, default=0, metavar="N")
    where = "or a folder for it; default: prior-NAME.toml"
    parser.add_argument("--output", type=Path, metavar="FILE", help=where)
    return parser
