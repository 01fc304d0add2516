"""Accuracy, coverage and speed of the networks on the design of Kuppens et al. 2025, beside their rivals.

Run as ``python benchmarks/kuppens2025.py``; writes ``benchmarks/results/kuppens2025.md`` and plots beside it
(some five minutes on two cores). ``--quick`` is a trial with few curves, ``--only`` runs some sections; both
want another folder to write to.

Networks that are not part of the package (controls, those of the study, other seeds) are read from a folder
of what `bids_qmri-train` writes: ``ncde-alone-vfa.json``, ``mlp-anchor-vfa.json``, ``kuppens2025-vfa.json``,
``mlp-vfa.json``, ``ncde-vfa-seed2.json``, ..., each beside its weights. Those that do not exist are left out
and named in the report. One called ``ncde-vfa`` there takes the place of the shipped one.
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS and ONNX Runtime read these once. Two processes share the work.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from kuppens import designs, real, report, timing
from kuppens.cells import TABLE1, measure
from kuppens.results import Results
from kuppens.rows import cards

SECTIONS = ("fixed", "variable", "wide", "sigma", "outside", "chunking", "speed", "real")
PROCESSES = 2


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=Path, help="folder of networks and their cards")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="sections to run")
    parser.add_argument("--quick", action="store_true", help="few curves: a trial")
    parser.add_argument("--output", type=Path, help="folder of the report; needed for trials")
    chosen = parser.parse_args()
    if chosen.output is None:
        if chosen.quick or chosen.only is not SECTIONS:
            parser.error("--quick and --only need --output: they must not replace the full report")
        chosen.output = Path(__file__).parent / "results"
    return chosen


def data_folder() -> Path | None:
    """Return the measured data, from BIDS_QMRI_SHARED or beside the checkout, or None."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("BIDS_QMRI_SHARED", beside)) / "bids-real"
    return folder if folder.is_dir() else None


def run(only: tuple[str, ...], quick: bool, networks: Path | None, workers: ProcessPoolExecutor) -> Results:
    """Measure the chosen sections."""
    results, size, data = Results(), designs.QUICK if quick else designs.FULL, data_folder()
    results.cards = cards(networks)
    makers = {
        "fixed": designs.fixed,
        "variable": designs.variable,
        "wide": designs.wide,
        "sigma": designs.wrong_sigma,
        "outside": lambda size: designs.outside(size, data),
    }
    if "speed" in only:
        results.speeds = timing.speeds(networks, workers, *((1_000, 0.05) if quick else (50_000, 1.0)))
    cells = [cell for name, make in makers.items() if name in only for cell in make(size)]
    # Slow cells first: the last ones then end together.
    order = sorted(range(len(cells)), key=lambda i: cells[i].model != "etofts")
    tasks = {i: workers.submit(measure, cells[i], networks) for i in order}
    results.cells = [tasks[i].result() for i in range(len(cells))]
    if "chunking" in only:
        batch = 2_000 if quick else 100_000
        chunks = [workers.submit(timing.chunking, model, networks, batch) for model in TABLE1]
        results.chunks = [c for task in chunks for c in task.result()]
    if "real" in only and data is not None:
        scans = real.scans(data, 200 if quick else 2_000)
        found = [workers.submit(real.compare, scan, networks) for scan in scans]
        results.real = [c for task in found for c in real.pooled(task.result())]
    return results


def main() -> None:
    chosen, begin = arguments(), time.perf_counter()
    # Spawned: forked children of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as workers:
        results = run(tuple(chosen.only), chosen.quick, chosen.networks, workers)
    chosen.output.mkdir(parents=True, exist_ok=True)
    text = report.write(results, chosen.networks, chosen.quick, time.perf_counter() - begin)
    (chosen.output / "kuppens2025.md").write_text(text, encoding="utf-8")
    report.draw(results, chosen.output)


if __name__ == "__main__":
    main()
