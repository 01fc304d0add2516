"""The command ``bids_qmri-status``: who is complete in an output folder, who is not, and why.

It reads completion records and leases and writes nothing; standard library alone, so that it may be called
often.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from bids_qmri.cli.printing import print_text
from bids_qmri.cli.spelling import Parser
from bids_qmri.completion.standing import MEANING, Standing, labels_of, standing_of, with_inputs
from bids_qmri.errors import UsageError

EPILOG = "Exit code: 0 if everybody is complete or has nothing to fit, 1 if not, 2 for an impossible call. "


def main(argv: Sequence[str] | None = None) -> int:
    """Print where every participant stands, and return 0 if nobody is left to be run.

    Parameters
    ----------
    argv
        Arguments without the program name; None takes those of the process.
    """
    try:
        args = _parser().parse_args(argv)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    for folder, what in ((args.output_dir, "the OUTPUT_DIR of a run"), (args.bids_dir, "a BIDS dataset")):
        if folder is not None and not folder.is_dir():
            print(f"{folder} is not a folder; needed: {what}", file=sys.stderr)
            return 2
    expected = args.participant_label or _of_dataset(args.output_dir, args.bids_dir)
    labels = [label.removeprefix("sub-") for label in expected]
    if not args.participant_label:
        labels = labels_of(args.output_dir, labels)
    raw = args.bids_dir or _raw_of(args.output_dir)
    standings = [
        with_inputs(standing_of(args.output_dir, label, verify=args.verify), raw, verify=args.verify)
        for label in labels
    ]
    if args.json:
        text = json.dumps(_as_fields(standings), indent=2) + "\n"
    elif args.incomplete:
        text = "".join(f"{one.participant}\n" for one in standings if _is_to_be_run(one))
    else:
        text = _as_text(standings) + "\n"
    print_text(text)
    return 0 if standings and all(one.is_done for one in standings) else 1


def _parser() -> argparse.ArgumentParser:
    states = "; ".join(f"{state}: {words}" for state, words in MEANING.items())
    parser = Parser(prog="bids_qmri-status", description=__doc__, epilog=f"{EPILOG}States: {states}.")
    parser.add_argument("output_dir", type=Path, metavar="OUTPUT_DIR", help="output folder of bids_qmri")
    parser.add_argument(
        "--bids-dir",
        type=Path,
        metavar="DIR",
        help="dataset whose participants are expected; default: the one that the output folder names",
    )
    parser.add_argument("--participant-label", nargs="+", metavar="LABEL", help="these participants alone")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="compare hashes of all inputs and outputs, not only names and sizes",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for machines: states, reasons, counts")
    form.add_argument(
        "--incomplete",
        action="store_true",
        help="labels to run again, one a line: all but who is done and who is in work",
    )
    return parser


def _is_to_be_run(standing: Standing) -> bool:
    return not standing.is_done and standing.state != "running"


def _of_dataset(output_dir: Path, bids_dir: Path | None) -> list[str]:
    """Return the participants of a dataset, or of the one that an output folder was made from."""
    root = bids_dir or _raw_of(output_dir)
    if root is None or not root.is_dir():
        return []
    return [path.name.removeprefix("sub-") for path in root.glob("sub-*") if path.is_dir()]


def _raw_of(output_dir: Path) -> Path | None:
    try:
        content = json.loads((output_dir / "dataset_description.json").read_text(encoding="utf-8"))
        return (output_dir / str(content["DatasetLinks"]["raw"])).resolve()
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _as_fields(standings: Iterable[Standing]) -> dict[str, object]:
    people = {
        f"sub-{one.participant}": {
            "state": one.state,
            "why": one.why,
            "fits": [] if one.record is None else sorted(one.record.fits),
        }
        for one in standings
    }
    return {"participants": people, "counts": Counter(str(one["state"]) for one in people.values())}


def _as_text(standings: Sequence[Standing]) -> str:
    width = max((len(one.participant) for one in standings), default=0)
    lines = [f"sub-{one.participant:<{width}}  {one.state:<8}  {one.why}" for one in standings]
    counts = Counter(one.state for one in standings)
    total = ", ".join(f"{counts[state]} {state}" for state in MEANING if counts[state])
    return "\n".join([*lines, f"{len(standings)} participants: {total or 'none'}"])


if __name__ == "__main__":
    sys.exit(main())
