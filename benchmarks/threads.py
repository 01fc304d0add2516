"""Two threads beside one, for every estimator, and cost by number of voxels.

Run as ``python benchmarks/threads.py``; writes ``benchmarks/results/threads.md`` (some three minutes on two
processors, with nothing else running). Arrays are fitted as the command fits images, block by block.
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS and ONNX Runtime read these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.catalogue import get_model
from bids_qmri.estimation.blocks import fit_array
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import Scan, prepare
from bids_qmri.estimators.base import FitResult, get_estimator
from bids_qmri.physics.noise import add_rician_noise

RESULTS = Path(__file__).parent / "results" / "threads.md"
VOXELS, REPEATS, SNR = 100_000, 3, 30.0
LONG = 60.0
"""Seconds after which a row is not repeated."""
SIZES = (10_000, 100_000, 1_000_000)

DIRECTIONS = np.random.default_rng(3).standard_normal((60, 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
SHELLS: dict[str, Any] = {
    "bvals": np.r_[np.zeros(6), np.full(30, 1000.0), np.full(30, 2000.0)],
    "bvecs": np.vstack([np.zeros((6, 3)), DIRECTIONS]),
}
TIMES = np.arange(40) * 6.0
PROTOCOLS: dict[str, dict[str, Any]] = {
    "vfa": {"flip_angle": np.deg2rad([2.0, 5, 10, 15]), "repetition_time": np.full(4, 0.015)},
    "ivim": {"bvals": np.array([0.0, 10, 20, 50, 100, 200, 400, 800])},
    "etofts": {"time": TIMES, "aif_time": TIMES, "aif": 5 * np.exp(-TIMES / 60) * (TIMES > 12)},
    "noddi": SHELLS,
    "tensor": SHELLS,
}
ESTIMATORS = {
    "vfa": ("lsq", "mle", "map", "bayes", "ncde"),
    "ivim": ("lsq", "mle", "map", "bayes", "ncde"),
    "etofts": ("lsq", "map", "bayes", "ncde"),
    "noddi": ("lsq", "mle", "bayes", "ncde"),
    "tensor": ("wls",),
}

HEAD = """# Threads, and cost by number of voxels

`benchmarks/threads.py`: {voxels:,} voxels, wall seconds with two threads over one, median of {repeats} in
turn, fewer where they take longer than {long:g} s; the maps of both compared bit for bit.

| model | estimator | one thread, s | two threads, s | ratio | maps |
|---|---|---|---|---|---|
"""

LINEAR = """
## Cost by number of voxels

Processor time of a voxel, µs, one thread; best of {repeats}.

| model | estimator | {sizes} | largest over smallest |
|---|---|---|---|---|---|
"""


def fitted(model_name: str, label: str, signal: np.ndarray, threads: int) -> FitResult:
    """Fit an array with known noise."""
    model = get_model(model_name)
    estimator = get_estimator(model_name, label)
    protocol = model.protocol(**PROTOCOLS[model_name])
    how = prepare(model, estimator, Scan(protocol, mask=np.ones(len(signal), dtype=bool)), {})
    level = float(np.mean(signal[:, 0])) / SNR
    return fit_array(model, estimator, how, signal, ScanNoise.told(level), "box", threads)


def simulated(model_name: str, count: int) -> np.ndarray:
    """Return signals of tissue in its range, with noise, (V, N)."""
    model, rng = get_model(model_name), np.random.default_rng(7)
    protocol = model.protocol(**PROTOCOLS[model_name])
    maps = model.draw(count, rng)
    clean = model.predict(maps, protocol)
    assert clean is not None
    sigma = np.full(count, float(np.mean(np.abs(clean[:, 0]))) / SNR or 1.0)
    if not model.magnitude:
        sigma = np.full(count, float(np.abs(clean).max(axis=1).mean()) / SNR)
        return np.asarray(clean + sigma[:, None] * rng.standard_normal(clean.shape))
    return np.asarray(add_rician_noise(clean.T, sigma, rng).T)


def threads() -> Iterator[str]:
    """Yield a line for each estimator."""
    for name, labels in ESTIMATORS.items():
        signal = simulated(name, VOXELS)
        for label in labels:
            fitted(name, label, signal[:64], 1)
            spent: dict[int, list[float]] = {1: [], 2: []}
            found: dict[int, FitResult] = {}
            for _ in range(REPEATS):
                for count, seconds in spent.items():
                    start = time.perf_counter()
                    found[count] = fitted(name, label, signal, count)
                    seconds.append(time.perf_counter() - start)
                if sum(map(sum, spent.values())) > LONG:
                    break
            one, two = (statistics.median(seconds) for seconds in spent.values())
            alike = all(
                np.array_equal(found[1].maps[key], found[2].maps[key], equal_nan=True)
                for key in found[1].maps
            )
            words = "equal" if alike else "**differ**"
            yield f"| {name} | {label} | {one:.2f} | {two:.2f} | **{two / one:.2f}** | {words} |"


def linear() -> Iterator[str]:
    """Yield the cost of a voxel for several numbers of them."""
    for name, label in (("ivim", "lsq"), ("ivim", "ncde"), ("vfa", "lsq"), ("etofts", "lsq")):
        signal, cost = simulated(name, SIZES[-1]), []
        for size in SIZES:
            best = np.inf
            for _ in range(REPEATS):
                start = time.process_time()
                fitted(name, label, signal[:size], 1)
                best = min(best, time.process_time() - start)
            cost.append(1e6 * best / size)
        cells = " | ".join(f"{value:.2f}" for value in cost)
        yield f"| {name} | {label} | {cells} | **{cost[-1] / cost[0]:.2f}** |"


def main() -> None:
    """Measure and write."""
    text = HEAD.format(voxels=VOXELS, repeats=REPEATS, long=LONG)
    sizes = " | ".join(f"{size:,}" for size in SIZES)
    for title, lines in (("", threads()), (LINEAR.format(repeats=REPEATS, sizes=sizes), linear())):
        text += title
        for line in lines:
            print(line, flush=True)
            text += f"{line}\n"
            RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
