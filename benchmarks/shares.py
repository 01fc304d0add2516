"""What the whole command takes beside what it cannot do without: unpacking its images, and the fits.

Run as ``python benchmarks/shares.py``; writes ``benchmarks/results/shares.md`` (two minutes, with nothing
else running). Fits are the calls of estimators with the voxels of a scan; unpacking is ISA-L alone. One
thread.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import resources
from isal import igzip

RESULTS = Path(__file__).parent / "results" / "shares.md"
ROOT = Path(__file__).parents[1]
REPEATS = 3
ROWS = {
    "IVIM, lsq and ncde": (resources.make_large, ("--models", "ivim", "--methods", "lsq", "ncde")),
    "NODDI, ncde": (resources.make_shells, ("--models", "noddi", "--methods", "ncde")),
    "small VFA, lsq and ncde": (resources.make_small, ()),
}

TIMED = """
import json, sys, time
from bids_qmri.estimators.base import Estimator
spent, inner = [0.0], Estimator.fit
def fit(self, *args, **more):
    start = time.process_time()
    found = inner(self, *args, **more)
    spent[0] += time.process_time() - start
    return found
Estimator.fit = fit
from bids_qmri.cli.run import main
code = main(sys.argv[1:])
print(json.dumps([code, time.process_time(), spent[0]]))
"""

HEAD = """# The whole command over what it cannot do without

`benchmarks/shares.py`: processor seconds of one participant, page and motion included, one thread; medians of
{repeats} runs. Fits are the calls of estimators, unpacking that of the images by ISA-L.

| work | input | whole, s | unpacking | fits | whole over both |
|---|---|---|---|---|---|
"""


def run(bids: Path, arguments: tuple[str, ...]) -> tuple[float, float]:
    """Return processor seconds of a run and of its fits."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-c", TIMED, str(bids), f"{name}/out", "participant"]
        command += ["--nprocs", "1", "--omp-nthreads", "1", "--work-dir", f"{name}/work", *arguments]
        environment = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPATH"] = str(ROOT)
        # numpy is imported before the command says so: threads that wait for work count as work.
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    code, whole, fits = json.loads(done.stdout.splitlines()[-1])
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}: {done.stderr[-2000:]}")
    return whole, fits


def unpacking(bids: Path) -> float:
    """Return processor seconds of unpacking all images."""
    start = time.process_time()
    for path in bids.rglob("*.nii.gz"):
        with igzip.open(path) as file:
            while file.read(1 << 20):
                pass
    return time.process_time() - start


def main() -> None:
    """Measure and write."""
    lines = []
    with tempfile.TemporaryDirectory() as name:
        for title, (make, arguments) in ROWS.items():
            bids = Path(name) / make.__name__
            what = make(bids)
            run(bids, arguments)
            runs = [(*run(bids, arguments), unpacking(bids)) for _ in range(REPEATS)]
            whole, fits, unpacked = (statistics.median(values) for values in zip(*runs, strict=True))
            ratio = statistics.median(a / (b + c) for a, b, c in runs)
            lines.append(
                f"| {title} | {what} | {whole:.2f} | {unpacked:.2f} | {fits:.2f} | **{ratio:.2f}** |"
            )
            print(lines[-1], flush=True)
    RESULTS.write_text(HEAD.format(repeats=REPEATS) + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
