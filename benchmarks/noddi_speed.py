"""Speed of the NODDI fits, and how often they miss the lowest minimum: one thread, several schemes.

Run as ``python benchmarks/noddi_speed.py FOLDER`` with the folder of the schemes (``noddi_s1.bval`` ...);
writes ``benchmarks/results/noddi_speed.md`` next to it (about ten minutes).
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS reads these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import platform
import sys
import time
from datetime import date
from itertools import product
from pathlib import Path

import numpy as np

from bids_qmri.estimators.base import Estimator, FitResult
from bids_qmri.estimators.classical import lm
from bids_qmri.estimators.classical.objective import LeastSquares, RicianLikelihood
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.noddi.encoding import align, encode
from bids_qmri.techniques.noddi.fit import Likelihood, NoddiLsq, NoddiMle
from bids_qmri.techniques.noddi.model import NODDI, noddi_signal
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "noddi_speed.md"
CASES = (
    ("noddi_s1", 15),
    ("noddi_s1", 25),
    ("ukb_like", 25),
    ("abcd_like", 20),
    ("hcp_like", 20),
    ("hcp_like_jitter", 20),
)
ESTIMATORS: dict[Likelihood, Estimator] = {"gaussian": NoddiLsq(), "rician": NoddiMle()}
VOXELS, REPEATS = 8_000, 3
CHECKED = 200
"""Voxels, the first ones, that are also fitted from many starts."""

STARTS = tuple(product((0.1, 0.5, 0.9), (0.05, 0.3, 0.8), (0.02, 0.3, 0.7)))
"""NDI, ODI, FWF; each from the true direction and from a random one."""

MISSED = 0.01
"""Log-likelihood below the best of all starts from which a minimum counts as missed."""


def load(folder: Path, name: str) -> DiffusionProtocol:
    return DiffusionProtocol(np.loadtxt(folder / f"{name}.bval"), np.loadtxt(folder / f"{name}.bvec").T)


def simulate(protocol: DiffusionProtocol, snr: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return NDI, ODI, FWF, (3, V), directions, (V, 3), and signals, (V, N), with S0 = 1."""
    rng = np.random.default_rng(0)
    theta = rng.uniform([0.0, 0.01, 0.0], [1.0, 1.0, 0.9], (VOXELS, 3)).T
    direction = rng.normal(size=(VOXELS, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    clean = noddi_signal(*theta, direction, protocol)
    return theta, direction, add_rician_noise(clean, 1 / snr, rng).T


def time_fit(
    signal: FloatArray, protocol: DiffusionProtocol, sigma: float, likelihood: Likelihood
) -> tuple[float, FitResult]:
    """Return voxels per CPU-second, the best of several runs, and the result."""
    seconds = []
    for _ in range(REPEATS):
        begin = time.process_time()
        result = ESTIMATORS[likelihood].fit(NODDI, signal, protocol, sigma=sigma)
        seconds.append(time.process_time() - begin)
    return len(signal) / min(seconds), result


def missed(
    signal: FloatArray,
    protocol: DiffusionProtocol,
    direction: FloatArray,
    sigma: float,
    found: FitResult,
    likelihood: Likelihood,
) -> float:
    """Return in how many per cent of voxels a fit from another start is better."""
    images = np.flatnonzero(~protocol.b0_mask)
    weighted = DiffusionProtocol(protocol.bvals[images], protocol.bvecs[images])
    encoding = encode(weighted, NODDI.d_par, NODDI.d_iso)
    s0 = found.maps["s0"][:CHECKED]
    relative = (signal[:CHECKED, images[encoding.order]] / s0[:, None]).T
    noise = sigma / s0
    objective = LeastSquares(relative) if likelihood == "gaussian" else RicianLikelihood(relative, noise)
    axes = np.array([found.maps[f"direction_{axis}"][:CHECKED] for axis in "xyz"])
    theta = np.zeros((5, CHECKED))
    theta[:3] = [found.maps[name][:CHECKED] for name in ("ndi", "odi", "fwf")]
    cost = objective.misfit(NODDI.signal(theta, align(encoding, axes)))[0]
    best = cost.copy()
    random = np.random.default_rng(1).normal(size=(3, CHECKED))
    for start in (direction[:CHECKED].T, random / np.linalg.norm(random, axis=0)):
        aligned = align(encoding, start)
        for values in STARTS:
            guess = np.array([*values, 0.0, 0.0])[:, None] * np.ones(CHECKED)
            end = lm.minimise(NODDI, objective, aligned, *NODDI.limits(), start=guess).theta
            best = np.fmin(best, objective.misfit(NODDI.signal(end, aligned))[0])
    return float(100 * np.mean((cost - best) / (2 * noise**2) > MISSED))


def table(folder: Path) -> list[str]:
    """Return the Markdown table of all schemes."""
    lines = [
        "| scheme | volumes | b-values | SNR | fit | voxels per CPU-s | RMSE NDI / ODI / FWF | % missed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, snr in CASES:
        protocol = load(folder, name)
        theta, direction, signal = simulate(protocol, snr)
        for likelihood in ESTIMATORS:
            rate, found = time_fit(signal, protocol, 1 / snr, likelihood)
            error = np.array([found.maps[p] for p in ("ndi", "odi", "fwf")]) - theta
            rmse = " / ".join(f"{x:.3f}" for x in np.sqrt(np.mean(error**2, axis=1)))
            share = missed(signal, protocol, direction, 1 / snr, found, likelihood)
            label = "lsq" if likelihood == "gaussian" else "mle"
            size, distinct = protocol.n_measurements, np.unique(protocol.bvals).size
            cells = (name, size, distinct, snr, label, f"{rate:,.0f}", rmse, f"{share:.1f}")
            lines.append(f"| {' | '.join(map(str, cells))} |")
            print(lines[-1], flush=True)
    return lines


METHOD = f"""
{VOXELS:,} voxels in one call, the best of {REPEATS} runs; the search of a first estimate and standard
deviations are part of it. NDI and ODI are uniform over their range, FWF from 0 to 0.9, directions over the
sphere, noise Rician with the noise level known. A voxel of the first {CHECKED} is missed where one of
{2 * len(STARTS)} other starts ends at a log-likelihood that is higher by {MISSED}.
"""


def main() -> None:
    head = [
        "# Speed of the NODDI fits",
        "",
        f"{date.today().isoformat()}; Python {platform.python_version()}, numpy {np.__version__}; "
        f"one thread of {os.cpu_count()} processors; CPU time.",
        METHOD,
    ]
    RESULTS.write_text("\n".join([*head, *table(Path(sys.argv[1])), ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
