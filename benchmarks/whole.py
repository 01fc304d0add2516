"""The whole command against an earlier build of it: the same inputs, in turn, in processes of their own.

Run ``python benchmarks/whole.py OLD_CHECKOUT``, a worktree of the commit to compare with
(``git worktree add ../old 51ac61a``) that the same Python can run (the build of 51ac61a needs pybids); writes
benchmarks/results/whole.md. ``--rows`` takes some of the rows, the others stay; ``--pairs`` is how often each
is run. Needs 1 GB of disk. Only ratios of one run count; processor time is that of the process and its
children.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import resources

from bids_qmri import __version__

NEW = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "whole.md"
TIMED = """
import ctypes, json, os, resource, subprocess, sys, time
# Processes that the command leaves behind, such as a server that forks, become children of this one.
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
load, start = os.getloadavg()[0], time.time()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
wall = time.time() - start
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
used = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu, rss = used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3
print(json.dumps([done.returncode, cpu, wall, rss, load, done.stderr[-2000:]]))
"""


@dataclass(frozen=True)
class Row:
    """One piece of work.

    Parameters
    ----------
    title
        For people.
    make
        Writes the dataset and says what it holds; None for the demonstration, which writes its own.
    arguments
        Of the command.
    """

    title: str
    make: Callable[[Path], str] | None
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """What one run took: processor and wall seconds, peak RSS in MB, load of the machine before."""

    cpu: float
    wall: float
    rss: float
    load: float


def make_few_shells(bids: Path) -> str:
    """Write the two-shell series with 10,000 voxels."""
    whole, resources.VOLUME = resources.VOLUME, (25, 20, 20)
    try:
        return resources.make_shells(bids)
    finally:
        resources.VOLUME = whole


ONE, TWO = ("--omp-nthreads", "1"), ("--omp-nthreads", "2")
IVIM = ("--models", "ivim", "--methods", "lsq", "ncde")
NODDI = ("--models", "noddi", "--methods", "ncde")
ROWS = {
    "ivim": Row("IVIM, lsq and ncde, one thread", resources.make_large, (*IVIM, *ONE)),
    "ivim2": Row("IVIM, lsq and ncde, two threads", resources.make_large, (*IVIM, *TWO)),
    "noddi": Row("NODDI, ncde, one thread", resources.make_shells, (*NODDI, *ONE)),
    "noddi2": Row("NODDI, ncde, two threads", resources.make_shells, (*NODDI, *TWO)),
    "vfa": Row("small VFA, one participant", resources.make_small, ONE),
    "tensor": Row("tensor, one thread", resources.make_shells, ("--models", "tensor", *ONE)),
    "dki": Row("kurtosis, one thread", make_few_shells, ("--models", "dki", *ONE)),
    "demo": Row("demonstration", None),
}


def main() -> None:
    args = _arguments()
    lines = []
    with tempfile.TemporaryDirectory(dir=args.scratch) as name:
        folder = Path(name)
        for key in args.rows:
            row = ROWS[key]
            what, bids = "", folder / (row.make.__name__ if row.make else "demo")
            if row.make is not None:
                kept = bids.with_suffix(".txt")
                if not kept.is_file():
                    kept.write_text(row.make(bids))
                what = kept.read_text()
            pairs = list(_pairs(args.old, row, bids, folder, args.pairs))
            lines.append(_line(row, what, pairs))
            print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(_page(args, _in_order(lines))) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, help="worktree of the earlier build")
    parser.add_argument("--rows", nargs="+", choices=tuple(ROWS), default=list(ROWS))
    parser.add_argument("--pairs", type=int, default=3, help="runs of each build; default: 3")
    parser.add_argument("--scratch", type=Path, help="where data and results go meanwhile")
    parser.add_argument("--beside", default="nothing looked for", help="what else ran on the machine")
    args = parser.parse_args()
    args.old = args.old.resolve()
    return args


def _pairs(old: Path, row: Row, bids: Path, folder: Path, count: int) -> Iterator[tuple[Run, Run]]:
    """Yield runs of the new and of the old build, in turn and each first as often as second."""
    for number in range(count):
        order = (NEW, old) if number % 2 == 0 else (old, NEW)
        found = {root: run(root, row, bids, folder) for root in order}
        yield found[NEW], found[old]


def run(root: Path, row: Row, bids: Path, folder: Path) -> Run:
    """Run one build on one dataset; its results are removed afterwards."""
    out, work = folder / "out", folder / "work"
    if row.make is None:
        command = [sys.executable, "-m", "bids_qmri.demo", str(out)]
    else:
        command = [sys.executable, "-m", "bids_qmri", str(bids), str(out), "participant"]
        command += ["--nprocs", "1", "--work-dir", str(work), *row.arguments]
    # From its own folder, and with nothing of the caller's that sets threads.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    # An installation has its bytecode.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPATH"] = str(root)
    done = subprocess.run(
        [sys.executable, "-c", TIMED, *command],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env=environment,
    )
    code, cpu, wall, rss, load, said = json.loads(done.stdout)
    if code != 0:
        raise SystemExit(f"{' '.join(command)} in {root} ended with {code}: {said}")
    for used in (out, work):
        shutil.rmtree(used, ignore_errors=True)
    return Run(cpu, wall, rss, load)


def _line(row: Row, what: str, pairs: Sequence[tuple[Run, Run]]) -> str:
    """Return a row of the table: medians of both, and of the ratios of pairs."""
    cells = [row.title, what]
    for name, digits in (("cpu", 1), ("wall", 1), ("rss", 0)):
        new, old = ([getattr(one, name) for one in side] for side in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in zip(new, old, strict=True))
        cells += [
            f"{statistics.median(new):.{digits}f} / {statistics.median(old):.{digits}f}",
            f"**{ratio:.2f}**",
        ]
    loads = [one.load for pair in pairs for one in pair]
    cells += [str(len(pairs)), f"{min(loads):.1f}-{max(loads):.1f}", _commit(NEW)]
    return f"| {' | '.join(cells)} |"


def _in_order(lines: Sequence[str]) -> list[str]:
    """Return the rows of the table: those that were run now, and of the others what an earlier run found."""
    before = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.is_file() else []
    by_title = {line.split(" | ")[0]: line for line in (*before, *lines) if line.startswith("| ")}
    return [by_title[f"| {row.title}"] for row in ROWS.values() if f"| {row.title}" in by_title]


def _page(args: argparse.Namespace, lines: Sequence[str]) -> list[str]:
    commit = _commit(args.old)
    processors = os.cpu_count()
    return [
        "# The whole command against an earlier build",
        "",
        f"bids_qmri {__version__} (new, at the commit of the row) and {commit} (old) in turn, same files; "
        f"Python {platform.python_version()}, numpy {np.__version__}, {processors} processors; one process, "
        f"page included. Beside it ran: {args.beside}.",
        "",
        "Cells are medians, new / old; ratios are medians of those of pairs. Load is that of "
        "the machine over the minute before each run: where it is high both builds were held up, and only "
        "processor time is to be trusted.",
        "",
        "| work | input | processor, s | ratio | wall, s | ratio | peak RSS, MB | ratio | pairs | load | new "
        "|",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *lines,
        "",
        f"Repeat: `git worktree add ../old {commit}; python benchmarks/whole.py ../old --pairs {args.pairs}`",
    ]


def _commit(root: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "a checkout without history"


if __name__ == "__main__":
    main()
