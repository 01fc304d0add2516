"""NODDI on the design of Rot et al. 2025, and on schemes that no network was trained on.

Run as ``python benchmarks/rot2025.py SCHEMES``, the folder of ``noddi_s1.bval``, ``hcp_like.bval``, ...;
writes ``benchmarks/results/rot2025.md`` and plots beside it (some ten minutes on two cores). Networks for one
scheme are the shipped ones and those of ``--networks``, a folder of what ``bids_qmri-train noddi`` writes.
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
from datetime import date
from pathlib import Path

from rot import grid, plots, schemes, timing
from rot.rows import MEANING

from bids_qmri import __version__

PROCESSES = 2
VOXELS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("schemes", type=Path, help="folder of schemes")
    parser.add_argument("--networks", type=Path, help="folder of further networks for one scheme")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--quick", action="store_true", help="few voxels: a trial; needs --output")
    chosen, begin = parser.parse_args(), time.perf_counter()
    paper = schemes.SCHEMES[0].protocol(chosen.schemes)
    timed = timing.measure(paper, 20_000 if chosen.quick else timing.VOXELS)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as workers:
        on_grid = workers.submit(grid.measure, paper, chosen.networks, 5 if chosen.quick else grid.REPEATS)
        voxels = 500 if chosen.quick else VOXELS
        tasks = [
            workers.submit(schemes.measure, scheme, end, chosen.schemes, chosen.networks, voxels)
            for end in schemes.FREE_WATER
            for scheme in (*schemes.SCHEMES, *schemes.AT_TRAINING_SNR)
        ]
        cells, found = [task.result() for task in tasks], on_grid.result()
    chosen.output.mkdir(parents=True, exist_ok=True)
    text = report(found, cells, timed, voxels, time.perf_counter() - begin)
    (chosen.output / "rot2025.md").write_text(text, encoding="utf-8")
    plots.draw(found, chosen.output)


def report(
    found: grid.Grid,
    cells: list[schemes.Cell],
    timed: list[timing.Timed],
    voxels: int,
    seconds: float,
) -> str:
    """Return the results as Markdown."""
    rows = dict.fromkeys(row for errors in (found.estimates, *(c.error for c in cells)) for row in errors)
    lines = [
        "# NODDI: fits and networks",
        "",
        f"bids_qmri {__version__}, {date.today()}, {seconds / 60:.0f} minutes. Written by "
        "`python benchmarks/rot2025.py SCHEMES --networks NETWORKS`.",
        "",
        *(f"* `{row}`: {MEANING[row]}" for row in rows),
        "",
        "## The grid of the paper",
        "",
        f"{found.truth.shape[1]} points (NDI, ODI 0.05 to 0.95, FWF 0.05 to 0.45), "
        f"{found.estimates['lsq'].shape[2]} draws of noise, SNR {grid.SNR:g}, scheme of the paper. Numbers "
        f"are NDI, ODI, FWF; correlations are over points with NDI from {grid.DETERMINED}.",
        "",
        *grid.table(found),
        *(f"![{name}](rot2025-{name}.png)" for name in ("bias", "sd", "scatter")),
        "",
        *_claims(found),
        "## Schemes that the agnostic network never saw",
        "",
        f"{voxels:,} voxels each, NDI and ODI uniform, directions over the sphere, Rician noise.",
        "",
        *schemes.ratio_table([c for c in cells if c.scheme in schemes.SCHEMES]),
        "## Beside a network for the scheme alone",
        "",
        f"At SNR {grid.SNR:g}, that of its training.",
        "",
        *schemes.specific_table(cells),
        "## Errors",
        "",
        *schemes.table(cells),
        "## Time",
        "",
        *timing.table(timed),
    ]
    return "\n".join(lines)


def _claims(found: grid.Grid) -> list[str]:
    if not {"nnmle", "nngt"} <= set(found.estimates):
        return []
    lines = ["| the paper says of Fig. 5 | here | |", "|---|---|---|"]
    lines += [f"| {c.paper} | {c.here} | {'agrees' if c.agrees else 'differs'} |" for c in grid.claims(found)]
    return [*lines, ""]


if __name__ == "__main__":
    main()
