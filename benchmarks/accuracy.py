"""Accuracy of `lsq`, `mle` and `bayes` on the published ranges and protocols, one thread.

Run as ``python benchmarks/accuracy.py``; writes ``benchmarks/results/accuracy.md`` next to it (some minutes).
Parameters are drawn from the ranges of the models (Kuppens et al.: T1 .1-3 s; D .35-3e-3, D* .05-.1 mm^2/s,
f .03-.25; kep .1-2 /min, ve .01-.7, vp .001-.05, delay 0-30 s), which are also the bounds of all estimators.
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS reads these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.catalogue import get_model
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.classical.mle import Mle
from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.physics.arterial_input import rata
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Bounds
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "accuracy.md"
SEED = 90_210
AIF_TIME = np.arange(0, 160, 0.5)
EARLIER = "earlier, "
GRID = "bayes on grids"


@dataclass(frozen=True)
class Case:
    """One model with its protocol, prior box and reported parameters.

    `scale` and `unit` are for printing; `earlier` are RMSE by method and SNR of an independent implementation
    measured on the same design with other seeds.
    """

    title: str
    model: str
    protocol: Any
    box: Bounds
    snr: tuple[float, ...]
    voxels: int
    shown: dict[str, tuple[str, float]]
    earlier: dict[str, dict[float, tuple[float, ...]]]


VFA = Case(
    "VFA, flip angles 1/6/10/25 degrees, TR 5 ms",
    "vfa",
    VfaProtocol(np.deg2rad([1, 6, 10, 25.0]), 0.005),
    {"t1": (0.1, 3.0)},
    (50, 100, 150, 200, 300),
    2000,
    {"t1": ("T1 (ms)", 1e3)},
    {
        "lsq": {50: (1197,), 100: (900,), 150: (698,), 200: (575,), 300: (412,)},
        "bayes": {50: (716,), 100: (577,), 150: (494,), 200: (437,), 300: (345,)},
    },
)
IVIM = Case(
    "IVIM, b 0/10/20/50/100/300/600 s/mm^2",
    "ivim",
    DiffusionProtocol(np.array([0, 10, 20, 50, 100, 300, 600.0])),
    {"d": (0.35e-3, 3e-3), "dstar": (0.05, 0.1), "f": (0.03, 0.25)},
    (5, 10, 20, 40),
    1000,
    {"d": ("D (1e-4 mm^2/s)", 1e4), "f": ("f", 1.0), "dstar": ("D* (1e-3 mm^2/s)", 1e3)},
    {
        "lsq": {5: (7.7, 0.102, 27), 10: (4.4, 0.081, 27), 20: (2.5, 0.054, 25), 40: (1.36, 0.030, 22)},
        "bayes": {
            5: (6.0, 0.061, 14.3),
            10: (3.9, 0.056, 14.3),
            20: (2.3, 0.044, 14.2),
            40: (1.26, 0.028, 13.7),
        },
        "constant": {
            5: (7.7, 0.064, 14.3),
            10: (7.7, 0.064, 14.4),
            20: (7.7, 0.064, 14.5),
            40: (7.6, 0.063, 14.4),
        },
    },
)
DCE = Case(
    "Extended Tofts, frames at 9, 18, ... 153 s, delay 0-30 s",
    "etofts",
    DceProtocol(np.arange(9, 154, 9.0), AIF_TIME, rata(AIF_TIME)),
    {"kep": (0.1, 2.0), "ve": (0.01, 0.7), "vp": (0.001, 0.05), "t0": (0.0, 30.0)},
    (5, 10, 20, 40),
    1000,
    {"kep": ("kep (1/min)", 1.0), "ve": ("ve", 1.0), "vp": ("vp", 1.0), "ktrans": ("Ktrans (1/min)", 1.0)},
    {
        "lsq": {
            5: (0.376, 0.095, 0.019),
            10: (0.228, 0.060, 0.016),
            20: (0.140, 0.037, 0.013),
            40: (0.079, 0.024, 0.0099),
        },
        "bayes": {
            5: (0.315, 0.065, 0.011),
            10: (0.200, 0.048, 0.011),
            20: (0.178, 0.032, 0.009),
            40: (0.147, 0.027, 0.008),
        },
        "constant": {
            5: (0.553, 0.199, 0.014),
            10: (0.545, 0.199, 0.014),
            20: (0.549, 0.201, 0.014),
            40: (0.553, 0.199, 0.014),
        },
    },
)


def simulate(case: Case, snr: float) -> tuple[dict[str, FloatArray], FloatArray, FloatArray]:
    """Return true maps, noisy signals (V, N) and the noise standard deviation (V,).

    The amplitude is 1 with Rician noise of 1 / SNR; concentrations get Gaussian noise of their maximum / SNR.
    """
    model, rng = get_model(case.model), np.random.default_rng([SEED, int(snr)])
    limits = dict(case.box)
    theta = np.stack([rng.uniform(*limits.get(p.name, (1.0, 1.0)), case.voxels) for p in model.parameters])
    clean = model.signal(theta, case.protocol)
    names = [p.name for p in (*model.parameters, *model.derived)]
    truth = dict(zip(names, np.concatenate([theta, model.derive(theta)[0]]), strict=True))
    if model.amplitude is None:
        sigma = clean.max(axis=0) / snr
        return truth, (clean + sigma * rng.standard_normal(clean.shape)).T, sigma
    return truth, add_rician_noise(clean, 1 / snr, rng).T, np.full(case.voxels, 1 / snr)


def estimates(
    case: Case, truth: dict[str, FloatArray], signal: FloatArray, sigma: FloatArray
) -> dict[str, tuple[dict[str, FloatArray], float]]:
    """Return the maps of every method and its voxels per CPU second."""
    model = get_model(case.model)
    methods = {"lsq": Lsq().fit, "mle": Mle().fit, "bayes": Bayes().fit, GRID: Bayes(exact=True).fit}
    if case.model == "vfa":
        del methods[GRID]  # `bayes` itself
    if model.amplitude is None:
        del methods["mle"]
    answers = {}
    for name, method in methods.items():
        begin = time.process_time()
        fit = method(model, signal, case.protocol, sigma=sigma, bounds=case.box)
        answers[name] = fit.maps, case.voxels / (time.process_time() - begin)
    middle = {name: np.full(case.voxels, _middle(case, name)) for name in case.shown}
    answers["constant"] = middle, np.inf
    return answers


def _middle(case: Case, name: str) -> float:
    """Return the prior mean of a parameter; of Ktrans that of the product."""
    if name == "ktrans":
        return float(np.mean(case.box["kep"]) * np.mean(case.box["ve"]))
    return float(np.mean(case.box[name]))


def table(case: Case) -> list[str]:
    """Return the lines of one model: RMSE (bias, sd) per method, and earlier RMSE below."""
    lines = [
        f"## {case.title}",
        "",
        f"{case.voxels} voxels per row, RMSE (bias; sd of the error).",
        "",
        "| SNR | method | " + " | ".join(label for label, _ in case.shown.values()) + " | voxels/CPU-s |",
        "|" + "---|" * (len(case.shown) + 3),
    ]
    for snr in case.snr:
        truth, signal, sigma = simulate(case, snr)
        for method, (maps, rate) in estimates(case, truth, signal, sigma).items():
            cells = [_cell((maps[name] - truth[name]) * scale) for name, (_, scale) in case.shown.items()]
            silent = np.mean([np.isnan(maps[name]).mean() for name in case.shown])
            label = f"{method}, {silent:.1%} without answer" if silent > 0 else method
            speed = "-" if np.isinf(rate) else f"{rate:,.0f}"
            lines.append(f"| {snr:g} | {label} | {' | '.join(cells)} | {speed} |")
            before = case.earlier.get(method, {}).get(snr)
            if before is not None:
                padded = [f"{value:g}" for value in before] + ["-"] * (len(case.shown) - len(before))
                lines.append(f"| | {EARLIER}{method} | {' | '.join(padded)} | |")
    return [*lines, ""]


def _cell(error: FloatArray) -> str:
    error = error[np.isfinite(error)]
    rmse, bias, sd = np.sqrt(np.mean(error**2)), np.mean(error), np.std(error)
    return f"**{rmse:.3g}** ({bias:+.2g}; {sd:.3g})"


def main() -> None:
    begin = time.process_time()
    lines = [
        "# Accuracy on simulated curves",
        "",
        "All estimators are bounded by the ranges that the truth is drawn from; `mle` and `bayes` know the",
        "noise level. `constant` answers the middle of every range. Rows `earlier` are an independent",
        "implementation on the same design with other seeds, RMSE only; its posterior mean of DCE was",
        "limited by a coarse grid at SNR 20 and 40, and its arterial input may differ in detail.",
        "The SNR of VFA refers to M0: SNR 100 is about 5 in the brightest image. Where the likelihood",
        "is highest without any signal, `mle` gives no answer; its errors are those of the other voxels.",
        "`bayes` samples by importance for IVIM and extended Tofts; `bayes on grids` is its exact oracle.",
        "",
    ]
    for case in (VFA, IVIM, DCE):
        lines += table(case)
    took = time.process_time() - begin
    lines.append(f"Measured on one thread of {platform.machine()}, {took:.0f} CPU-s in all, seed {SEED}.")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
