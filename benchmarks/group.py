"""Time and memory of the group level on synthetic quality files, and the size of its page.

Run ``python benchmarks/group.py``; writes benchmarks/results/group.md. Needs 2 GB of disk. The time in which
pages open is measured where a Chromium is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_qmri import __version__
from bids_qmri.bids.names import derivative_path
from bids_qmri.completion.hashes import fingerprint
from bids_qmri.completion.record import Completion, FitEntry, as_fields, completion_path, hash_for
from bids_qmri.interfaces.quality import quality_columns
from bids_qmri.outputs.tables import output_table
from bids_qmri.qc.common import COMMON

MODEL = "ivim"
ESTIMATORS = ("lsq", "ncde")
SITES = ("Amsterdam", "Basel", "Chicago", "Delft")
SEED = 7
TYPICAL = {"d": 1.2e-3, "dstar": 0.03, "f": 0.12, "s0": 900.0}


@dataclass(frozen=True)
class Case:
    """A study: participants, estimators per participant, regions beside the whole mask."""

    participants: int
    estimators: Sequence[str]
    regions: Sequence[str] = ()

    @property
    def rows(self) -> int:
        """Lines of the table."""
        return self.participants * len(self.estimators) * (1 + len(self.regions))


CASES = (
    Case(10_000, ESTIMATORS[:1]),
    Case(10_000, ESTIMATORS),
    Case(10_000, ESTIMATORS, ("liver", "spleen", "kidney", "muscle")),
)


COLUMNS = (
    "participants",
    "quality files",
    "their size, MB",
    "rows of the table",
    "processor time, s",
    "wall time, s",
    "peak RSS, MB",
    "TSV, MB",
    "page, MB",
    "page opens, s",
    "browser, processor time, s",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="write the first study here and keep it")
    keep = parser.parse_args().keep
    if keep is not None:
        write_study(keep, CASES[1])
        return
    rows = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as name:
            rows.append(measure(Path(name), case))
            print(rows[-1], flush=True)
    lines = [
        "# Group level on synthetic studies",
        "",
        f"bids_qmri {__version__}, Python {platform.python_version()}, numpy {np.__version__}; IVIM, one "
        "process. A quality file holds the metrics, their definitions and the settings of one fit. Time and "
        "memory are those of the whole command `bids_qmri BIDS OUT group`, which writes the table (TSV and "
        "dictionary), the page and the citations. The page is open when its script has drawn figures and "
        "table, counted from the start of the navigation, in headless Chromium without a GPU; the browser's "
        "processor time is that beyond a blank page. "
        f"Wall times are those of a machine at work: load average {os.getloadavg()[1]:.0f} on "
        f"{os.cpu_count()} processors.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *rows,
        "",
        "Repeat: `python benchmarks/group.py`",
    ]
    target = Path(__file__).parent / "results" / "group.md"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def measure(folder: Path, case: Case) -> str:
    """Write a study, run the group level, open the page; return a line of the table."""
    output = folder / "out"
    size = write_study(output, case)
    rss, cpu, wall = run_group(folder / "no-raw-data", output, folder / "work")
    table, page = output / f"group_{MODEL}.tsv", output / f"group_{MODEL}.html"
    opens, browser = open_page(page)
    numbers = [
        f"{case.participants:,}",
        f"{case.participants * len(case.estimators):,}",
        f"{size / 1e6:.0f}",
        f"{case.rows:,}",
        f"{cpu:.1f}",
        f"{wall:.1f}",
        f"{rss:.0f}",
        f"{table.stat().st_size / 1e6:.1f}",
        f"{page.stat().st_size / 1e6:.1f}",
        opens,
        browser,
    ]
    return f"| {' | '.join(numbers)} |"


def write_study(output: Path, case: Case) -> int:
    """Write quality files and participants.tsv; return the bytes of the quality files."""
    rng = np.random.default_rng(SEED)
    lines = ["participant_id\tage\tsex\tsite"]
    total = 0
    for index in range(case.participants):
        label = f"{index:06d}"
        site = SITES[int(rng.integers(len(SITES)))]
        lines.append(f"sub-{label}\t{rng.integers(18, 90)}\t{'MF'[rng.integers(2)]}\t{site}")
        fits, outputs = {}, {}
        for estimator, fields in records(rng, case):
            path = write_quality(output, label, estimator, fields)
            total += path.stat().st_size
            name = path.relative_to(output).as_posix()
            outputs[name] = fingerprint(path)
            fit = f"sub-{label} {MODEL} {estimator}"
            fits[fit] = FitEntry(MODEL, estimator, "", hash_for(fit, {}), (name,))
        # The group level reads what a record vouches for.
        record = completion_path(output, label)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(
            json.dumps(as_fields(Completion("ok", fits=fits, outputs=outputs))), encoding="utf-8"
        )
    (output / "participants.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return total


def records(rng: np.random.Generator, case: Case) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield a label and the content of a quality file for every fit of one participant."""
    worse = 3.0 if rng.random() < 0.01 else 1.0
    for label in case.estimators:
        metrics = draw_metrics(rng, label, worse, alone=len(case.estimators) == 1)
        names = [name for name in metrics if name.startswith(("n_", "fraction", *TYPICAL, "rmse_m", "nrmse"))]
        own = {name: metrics[name] for name in names if not name.endswith(("lsq", "mle"))}
        settings = {"NoiseLevel": metrics["sigma"], "Mask": "automatic", "SoftwareVersion": __version__}
        fields = {"Model": MODEL, "Estimator": label, "Metrics": metrics}
        yield label, {**fields, "Regions": dict.fromkeys(case.regions, own), **settings}


def draw_metrics(
    rng: np.random.Generator, label: str, worse: float, *, alone: bool = False
) -> dict[str, float]:
    table = output_table(MODEL)
    ends = ("median",) if alone else ("median", *COMMON)
    names = quality_columns(table, label, {f"{name}_{end}": 0 for name in TYPICAL for end in ends})
    found: dict[str, float] = {}
    for name in names:
        scale = next((size for key, size in TYPICAL.items() if name.startswith(f"{key}_")), 1.0)
        found[name] = float(scale * worse * rng.normal(1.0, 0.1))
        if name.startswith("n_") or name.endswith(("rises", "_voxels")):
            found[name] = int(rng.integers(0, 5000))
        elif name.startswith(("fraction", "shell_corr", "b1")) or name.endswith(("at_bound", "determined")):
            found[name] = float(rng.beta(40, 2) / worse)
    return found


def write_quality(output: Path, label: str, estimator: str, fields: Mapping[str, object]) -> Path:
    """Write one quality file as a fit does, without waiting for the disk."""
    table = output_table(MODEL)
    columns = quality_columns(table, estimator, fields["Metrics"])  # type: ignore[arg-type]
    words = {name: {"Units": one.units, "Description": one.description} for name, one in columns.items()}
    path = output / derivative_path({"sub": label}, extension=".json", **table.qc_parts(estimator))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**fields, **words}, indent=2, sort_keys=True), encoding="utf-8")
    return path


def run_group(bids: Path, output: Path, work: Path) -> tuple[float, float, float]:
    """Run the command in a process of its own; return peak RSS in MB, processor seconds and wall seconds."""
    code = (
        "import resource, subprocess, sys, time; t = time.time(); "
        "r = subprocess.run(sys.argv[1:], capture_output=True, text=True); "
        "u = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(r.returncode, u.ru_maxrss / 1e3, u.ru_utime + u.ru_stime, time.time() - t)"
    )
    command = [sys.executable, "-m", "bids_qmri", str(bids), str(output), "group", "--work-dir", str(work)]
    result = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True
    )
    status, rss, cpu, wall = result.stdout.split()
    if status != "0":
        raise SystemExit(f"{' '.join(command)} ended with {status}")
    return float(rss), float(cpu), float(wall)


def open_page(page: Path) -> tuple[str, str]:
    """Return the seconds until the page says that it is drawn, and processor seconds beyond a blank page."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return "not measured", "not measured"
    blank, _ = visit(browser, "about:blank")
    used, dom = visit(browser, page.as_uri())
    ready = re.search(r'data-ready="(\d+)"', dom)
    if ready is None:
        raise SystemExit(f"{page} did not come up")
    return f"{int(ready.group(1)) / 1000:.1f}", f"{used - blank:.1f}"


def visit(browser: str, address: str) -> tuple[float, str]:
    """Open a page; return processor seconds of all processes of the browser, and the page as it ended."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", address]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, dom


if __name__ == "__main__":
    main()
