"""The command ``bids_qmri-networks``: what networks there are, and for which scans one was trained."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_qmri.cli.environment import ONE_THREAD
from bids_qmri.cli.exit import ExitCode
from bids_qmri.cli.logs import LOGGER, console_log
from bids_qmri.cli.printing import print_text
from bids_qmri.cli.spelling import Parser
from bids_qmri.errors import NoInputError, QmriError

if TYPE_CHECKING:
    from bids_qmri.workflows.networks import Listed


VERDICTS = ("inside", "outside", "refused")


def main(argv: Sequence[str] | None = None) -> int:
    """List networks, or judge the scans of a study; return the exit code.

    Parameters
    ----------
    argv
        Arguments without the program name; None takes those of the process.
    """
    os.environ.update(ONE_THREAD)
    with console_log():
        try:
            args = _parser().parse_args(argv)
            return int(_check(args) if args.command == "check" else _list(args))
        except QmriError as error:
            LOGGER.error(error)
            return error.exit_code


def _parser() -> Parser:
    parser = Parser(
        prog="bids_qmri-networks",
        description="Say what trained networks there are, and for which scans of a study one was trained.",
        epilog="Exit code: 0; 1 if a scan is outside of what the network was trained for, or refused.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    given = commands.add_parser("list", help="networks with what they were trained for, how well, and how")
    given.add_argument(
        "folder", nargs="?", type=Path, metavar="DIR", help="of your own networks; default: the package's"
    )
    given.add_argument("--json", action="store_true", help="the whole cards, for machines")
    check = commands.add_parser("check", help="compare the scans of a study with what a network has seen")
    check.add_argument("network", metavar="NETWORK", help="a name that list shows, or a file NAME.onnx")
    check.add_argument("--bids", type=Path, required=True, metavar="DIR", help="the dataset")
    check.add_argument("--participant-label", nargs="+", default=[], metavar="LABEL")
    return parser


def _list(args: argparse.Namespace) -> int:
    from bids_qmri.workflows.networks import networks_in

    found = networks_in(args.folder)
    if args.json:
        rows = [{**one.card, "estimator": one.estimator, "sha256": one.sha256} for one in found]
        print_text(json.dumps(rows, indent=2) + "\n")
    else:
        print_text(("\n\n".join(map(_text, found)) or f"no networks in {args.folder}") + "\n")
    return ExitCode.OK


def _text(one: Listed) -> str:
    """Return what a person wants to know of a network."""
    card = one.card
    lines = [f"{one.file.stem}: {card.get('description') or 'no description'}"]
    lines += [f"  model {one.model}, estimator {one.estimator}, SHA-256 {one.sha256}"]
    coverage = {name: value for name, value in card.get("coverage", {}).items() if name != "bounds"}
    ranges = [f"{name} {_range(value)}" for name, value in coverage.items() if value]
    lines += [f"  trained for {', '.join(ranges)}"] if ranges else []
    limits = card.get("coverage", {}).get("bounds", {})
    lines += (
        ["  limits " + ", ".join(f"{name} {_range(value)}" for name, value in limits.items())]
        if limits
        else []
    )
    lines += _accuracy(card.get("accuracy", {}))
    made = [
        f"{key.replace('_', ' ')} {card[key]}" for key in ("seed", "curves", "recipe_digest") if key in card
    ]
    lines += [f"  {', '.join(made)}"] if made else []
    if tuned := card.get("finetuned"):
        start, people = tuned["start"]["name"], len(tuned["participants"])
        lines += [f"  fine-tuned from {start} on {people} participants, seed {tuned['seed']}"]
    return "\n".join(lines)


def _range(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    if len(value) == 2:
        return f"{value[0]:g}" if value[0] == value[1] else f"{value[0]:g} to {value[1]:g}"
    return ", ".join(map(str, value))


def _accuracy(found: dict[str, Any]) -> list[str]:
    """Return errors over those of the anchor, and coverage of error bars, on simulations held out."""
    parts = [
        f"{name} {values['mse_over_anchor']:.2f} of its anchor's MSE, {values['coverage']:.0%} within one sd"
        for name, values in found.items()
        if isinstance(values, dict) and {"mse_over_anchor", "coverage"} <= values.keys()
    ]
    return [f"  on simulations held out: {'; '.join(parts)}"] if parts else []


def _check(args: argparse.Namespace) -> int:
    from bids_qmri.workflows.networks import judge_study, network_named

    labels = [label.removeprefix("sub-") for label in args.participant_label]
    judged = list(judge_study(network_named(args.network), args.bids, labels))
    if not judged:
        raise NoInputError(
            "no scan of the kind that the network is for",
            file=args.bids,
            field=args.network,
            needed="a scan to judge",
            fix="see bids_qmri-networks list, and bids_qmri DIR OUT participant --dry-run",
        )
    lines = ["  ".join([one.scan, one.verdict, "; ".join(one.reasons)]).rstrip() for one in judged]
    count = {word: sum(one.verdict == word for one in judged) for word in VERDICTS}
    total = ", ".join(f"{number} {word}" for word, number in count.items() if number)
    print_text("\n".join([*lines, f"{len(judged)} scans: {total}"]) + "\n")
    return ExitCode.OK if count["inside"] == len(judged) else ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main())
