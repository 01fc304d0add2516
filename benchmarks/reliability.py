"""What kills, stops, full disks and other runs do to results: the command as a process, many times over.

Run ``python -m benchmarks.reliability`` from the folder that holds ``benchmarks``, or with the names of some
checks; writes benchmarks/results/reliability.md. What is wanted stands beside each figure.
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import reliability_checks as checks
from bids_qmri import __version__

RESULTS = Path(__file__).parent / "results" / "reliability.md"
SEED = 20261

CHECKS: dict[str, tuple[str, str, Callable[[Path, random.Random], str]]] = {
    "kill": (
        "kill -9 at 100 random moments, then rerun",
        "100 of 100 outputs identical, nothing stale",
        checks.kill,
    ),
    "stop": (
        "two runs of one participant, one stopped (SIGSTOP) while it writes, then continued",
        "20 of 20 one run's outputs whole, the other says so and leaves",
        checks.stop,
    ),
    "rerun": (
        "rerun of a complete study of 20 participants; one input changed",
        "at most 5 % of the CPU time, outputs untouched; that participant alone redone",
        checks.rerun,
    ),
    "worker": (
        "worker killed in a batch of 8 fits, 5 times",
        "7 complete, 1 named, at most 30 s",
        checks.worker,
    ),
    "group": (
        "group while participants are fitted again, 40 calls",
        "0 rows lost without a word",
        checks.group,
    ),
    "full": (
        "disk full at every write (file systems of 60 sizes), then enlarged",
        "one line and code 1, nothing half written; then complete",
        checks.full,
    ),
    "inline": (
        "inline server: 50 silent connections, one good client, 5 times",
        "served within 1 s of an idle server's time",
        checks.inline,
    ),
    "dry": (
        "one of 10,000 participants, dry run",
        "at most 1.2 x the CPU time of a dataset of one, at most 100 MB",
        checks.dry,
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checks", nargs="*", choices=[[], *CHECKS], default=[])
    chosen = parser.parse_args().checks or list(CHECKS)
    rows = []
    for name in chosen:
        title, wanted, check = CHECKS[name]
        with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
            found = check(Path(folder), random.Random(SEED))
        rows.append(f"| {name} | {title} | {wanted} | {found} |")
        print(rows[-1], flush=True)
    _write(chosen, rows)
    return 0


def _write(chosen: list[str], rows: list[str]) -> None:
    """Write the results; rows of checks that were not made stay as they are."""
    head = [
        "# Reliability",
        "",
        "Kills, stops and full disks at moments drawn with a fixed seed; what is compared are all maps, "
        "sidecars and tables of participants.",
        "",
        "| check | what is done | wanted | measured |",
        "|---|---|---|---|",
    ]
    old = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.is_file() else []
    by_name = {line.split("|")[1].strip(): line for line in (*old, *rows) if line.startswith("| ")}
    kept = [by_name[name] for name in CHECKS if name in by_name]
    tail = [line for line in old if line.startswith("## ")]
    rest = old[old.index(tail[0]) :] if tail else []
    foot = ["", f"bids_qmri {__version__}, Python {platform.python_version()}.", ""]
    repeat = ["Repeat: `python -m benchmarks.reliability`"]
    RESULTS.write_text("\n".join([*head, *kept, *foot, *repeat, *(["", *rest] if rest else [])]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
