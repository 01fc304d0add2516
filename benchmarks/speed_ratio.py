"""Processor time of estimators beside an earlier build: same curves, processes in turn.

Run as ``python benchmarks/speed_ratio.py EARLIER SCHEMES``, the folder of an earlier build and that of
``noddi_s1.bval``; writes ``benchmarks/results/speed_ratio.md`` (some three minutes).
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS and ONNX Runtime read these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from earlier_build import fit_by
from kuppens.cells import TABLE1, Cell, simulate
from kuppens.designs import table3
from kuppens.timing import SNR

import bids_qmri
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Bounds
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.noddi.model import noddi_signal
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "speed_ratio.md"
HERE = Path(bids_qmri.__file__).resolve().parents[1]

VOXELS = {"lsq": 40_000, "ncde": 40_000, "bayes": 4_000}
NODDI_VOXELS, NODDI_SNR = 20_000, 20.0
PAIRS, REPEATS = 3, 3

INTRODUCTION = """# Speed beside an earlier build

`benchmarks/speed_ratio.py`: {pairs} pairs of processes, this build and commit {commit} in turn, one thread.
The same curves, noise and limits for both (Table 3 of Kuppens et al. 2025; the scheme of Rot et al. 2025);
the best of {repeats} repeats in a process, processor time. Above 1, this build is faster.

| estimator | model | voxels | thousand voxels per s: this build | earlier | ratio of each pair | median |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Case:
    """Voxels (V, N) with their noise (V,), protocol and limits."""

    model: str
    signal: FloatArray
    sigma: FloatArray
    protocol: Any
    bounds: Bounds | None


def curves(model: str, voxels: int) -> Case:
    cell = Cell("speed", "", model, table3(model), (SNR[model],), voxels, TABLE1[model])
    _, signal, sigma, _ = simulate(cell)
    return Case(model, signal, sigma, cell.protocol, cell.box)


def neurites(schemes: Path) -> Case:
    """Return voxels on the scheme of the paper, even over the parameters and the sphere."""
    file, rng = schemes / "noddi_s1", np.random.default_rng(0)
    bvals, bvecs = np.loadtxt(file.with_suffix(".bval")), np.loadtxt(file.with_suffix(".bvec"))
    protocol = DiffusionProtocol(bvals, bvecs.T)
    truth = rng.uniform([0.0, 0.01, 0.0], [1.0, 1.0, 0.9], (NODDI_VOXELS, 3)).T
    fibre = rng.standard_normal((NODDI_VOXELS, 3))
    fibre /= np.linalg.norm(fibre, axis=1, keepdims=True)
    clean = noddi_signal(truth[0], truth[1], truth[2], fibre, protocol)
    noise = np.full(NODDI_VOXELS, 1 / NODDI_SNR)
    return Case("noddi", add_rician_noise(clean, noise, rng).T, noise, protocol, None)


def line(label: str, case: Case, earlier: Path) -> str:
    """Time both builds in turn."""
    rates: dict[Path, list[float]] = {HERE: [], earlier: []}
    given = case.signal, case.protocol, case.sigma
    for _ in range(PAIRS):
        for build, found in rates.items():
            fit = fit_by(build, case.model, label, *given, bounds=case.bounds, repeats=REPEATS)
            found.append(len(case.signal) / float(fit.seconds.min()) / 1000)
    ratios = np.divide(rates[HERE], rates[earlier])
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    speeds = " | ".join(f"{np.median(found):.3g}" for found in rates.values())
    return f"| {label} | {case.model} | {len(case.signal):,} | {speeds} | {each} | {np.median(ratios):.2f} |"


def lines(earlier: Path, schemes: Path) -> Iterator[str]:
    for label, voxels in VOXELS.items():
        for model in TABLE1:
            yield line(label, curves(model, voxels), earlier)
    yield line("ncde", neurites(schemes), earlier)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("earlier", type=Path, help="folder of the earlier build")
    parser.add_argument("schemes", type=Path, help="folder of schemes")
    parser.add_argument("--commit", default="51ac61a", help="what the earlier build is called")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    head = INTRODUCTION.format(pairs=PAIRS, repeats=REPEATS, commit=asked.commit)
    foot = f"\nbids_qmri {bids_qmri.__version__}, numpy {np.__version__}."
    found = [*lines(asked.earlier.resolve(), asked.schemes), foot, ""]
    asked.out.write_text(head + "\n".join(found), encoding="utf-8")


if __name__ == "__main__":
    main()
