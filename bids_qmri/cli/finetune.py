"""The command ``bids_qmri-train finetune``: a network goes on learning from the voxels of a study."""

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
from bids_qmri.errors import UsageError


def finetune(argv: Sequence[str]) -> int:
    """Tune a network and return the exit code.

    Parameters
    ----------
    argv
        Arguments behind ``finetune``.

    Raises
    ------
    QmriError
        The call is impossible, the network cannot be tuned, or the study has too few scans for it.
    """
    args = _parser().parse_args(argv)
    from bids_qmri.bids.acquisition import ReadOptions
    from bids_qmri.workflows.finetune import Study
    from bids_qmri.workflows.finetune import finetune as tune

    options = ReadOptions(derivatives=named_datasets(args.derivatives))
    study = Study(args.bids.resolve(), args.participant_label, options)
    folder = output_folder(args.output, args.bids)
    how = {"model": args.model, "folds": args.folds, "seed": args.seed}
    try:
        found, page = tune(args.network, study, folder, **how)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed",
            needed="the packages for training",
            fix="pip install bids_qmri[train]",
        ) from error
    LOGGER.info("network: %s, card: %s, page: %s", found.file, found.card, page)
    if found.file.suffix == ".onnx":
        use = f"--models {found.start.recipe.model} --network {found.file}"
        LOGGER.info("use it: bids_qmri BIDS_DIR OUTPUT_DIR participant %s", use)
    return ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="bids_qmri-train finetune",
        description="Tune a trained network on the measured voxels of a study, judge it on participants that "
        "it was not tuned with, and write it with its card and a page.",
    )
    parser.add_argument(
        "network", metavar="NETWORK", help="a name that bids_qmri-networks list shows, or a file of your own"
    )
    parser.add_argument("--bids", type=Path, required=True, metavar="DIR", help="the dataset")
    parser.add_argument("-d", "--derivatives", nargs="+", type=named_path, default=[], metavar="NAME=PATH")
    parser.add_argument("--participant-label", nargs="+", type=label("sub"), default=[], metavar="LABEL")
    parser.add_argument("--model", metavar="NAME", help="refuse a network for another model")
    parser.add_argument(
        "--folds", type=int, metavar="K", help="default: one per participant, five at most; by participant"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument(
        "--output", type=Path, default=Path(), metavar="DIR", help="where networks go (default: here)"
    )
    return parser
