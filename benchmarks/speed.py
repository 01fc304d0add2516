"""Speed and accuracy of `lsq` against a loop over scipy's `curve_fit`: one thread, same curves, same bounds.

Run as ``python benchmarks/speed.py``; writes ``benchmarks/results/speed.md`` next to it (about ten minutes).
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS reads these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from scipy.optimize import curve_fit

from bids_qmri.catalogue import get_model
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.physics.arterial_input import population_aif
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "speed.md"
BATCH = 40_000
"""Curves of one timed call of `lsq`."""

REPEATS = 3
Curve = Callable[..., FloatArray]


@dataclass(frozen=True)
class Case:
    """One model with a protocol and noise levels of the papers.

    Parameters
    ----------
    curve
        The signal of one voxel as a user of scipy writes it; takes the free parameters.
    start
        First estimate that a user would choose, from the measured signal.
    bounds
        Bounds by name of the set.
    shown
        Parameters in the table: name, column head, factor to its unit.
    scipy_curves
        Curves of the scipy loop, the first ones of the batch.
    """

    title: str
    model: Model
    protocol: Any
    snrs: tuple[float, ...]
    curve: Curve
    start: Callable[[FloatArray], list[float]]
    bounds: dict[str, Bounds]
    shown: tuple[tuple[str, str, float], ...]
    scipy_curves: int


def vfa_case() -> Case:
    flips, tr = np.deg2rad([1.0, 6.0, 10.0, 25.0]), 0.005
    sine, cosine = np.sin(flips), np.cos(flips)

    def curve(_: FloatArray, t1: float, m0: float) -> FloatArray:
        e1 = np.exp(-tr / t1)
        return np.asarray(m0 * sine * (1 - e1) / (1 - e1 * cosine))

    model = get_model("vfa")
    return Case(
        "VFA, flip angles 1, 6, 10, 25 deg, TR 5 ms",
        model,
        VfaProtocol(flips, tr),
        (50, 100, 200, 300),
        curve,
        lambda y: [1.0, 10 * float(y.max())],
        {"physical": {}, "Table 1": training_bounds(model)},
        (("t1", "T1 (ms)", 1e3),),
        300,
    )


def ivim_case() -> Case:
    b = np.array([0.0, 10, 20, 50, 100, 300, 600])

    def curve(_: FloatArray, d: float, dstar: float, f: float, s0: float) -> FloatArray:
        return np.asarray(s0 * ((1 - f) * np.exp(-b * d) + f * np.exp(-b * dstar)))

    model = get_model("ivim")
    return Case(
        "IVIM, b = 0, 10, 20, 50, 100, 300, 600 s/mm2",
        model,
        DiffusionProtocol(b),
        (5, 10, 20, 40),
        curve,
        lambda y: [0.001, 0.06, 0.1, float(y[0])],
        {"physical": {}, "Table 1": training_bounds(model)},
        (("d", "D (1e-4 mm2/s)", 1e4), ("f", "f", 1.0), ("dstar", "D* (1e-3 mm2/s)", 1e3)),
        300,
    )


def etofts_case() -> Case:
    frames = np.arange(9.0, 154.0, 9.0)
    times, plasma = population_aif("rata", 9.0, frames[-1], 0.4)
    minutes = (times - times[0]) / 60

    def curve(_: FloatArray, kep: float, ve: float, vp: float, t0: float) -> FloatArray:
        kernel = np.exp(-kep * minutes)
        tissue = np.convolve(plasma, kernel)[: minutes.size] - 0.5 * (plasma + plasma[0] * kernel)
        total = vp * plasma + kep * ve * tissue * (minutes[1] - minutes[0])
        return np.interp(frames - t0, times, total, left=0.0)

    model = get_model("etofts")
    delay = {"t0": (0.0, 30.0)}
    return Case(
        "Extended Tofts with delay 0-30 s, 17 frames of 9 s, cosine input",
        model,
        DceProtocol(frames, times, plasma),
        (5, 10, 20, 40),
        curve,
        lambda y: [0.6, 0.2, 0.02, 12.0],
        {"physical": delay, "Table 1": training_bounds(model) | delay},
        (("kep", "kep (1/min)", 1.0), ("ve", "ve", 1.0), ("vp", "vp", 1.0)),
        100,
    )


def training_bounds(model: Model) -> dict[str, tuple[float, float]]:
    return {p.name: p.training for p in model.parameters if p.name != model.amplitude}


def simulate(case: Case, snr: float) -> tuple[FloatArray, FloatArray]:
    """Return true parameters, (P, V), and noisy signals, (V, N), with the noise of the papers."""
    rng = np.random.default_rng(round(snr))
    ranges = {p.name: p.training for p in case.model.parameters} | {"t0": (0.0, 30.0)}
    theta = np.array([rng.uniform(*ranges[p.name], BATCH) for p in case.model.parameters])
    if case.model.amplitude is None:
        clean = case.model.signal(theta, case.protocol)
        return theta, (clean + clean.max(axis=0) / snr * rng.standard_normal(clean.shape)).T
    theta[-1] = 1.0
    return theta, add_rician_noise(case.model.signal(theta, case.protocol), 1 / snr, rng).T


def time_lsq(case: Case, signal: FloatArray, bounds: Bounds) -> tuple[float, FloatArray]:
    """Return curves per CPU-second, the best of several runs, and the estimates, (P, V)."""
    seconds = []
    for _ in range(REPEATS):
        begin = time.process_time()
        result = Lsq().fit(case.model, signal, case.protocol, bounds=bounds)
        seconds.append(time.process_time() - begin)
    return len(signal) / min(seconds), np.array([result.maps[p.name] for p in case.model.parameters])


def time_scipy(case: Case, signal: FloatArray, bounds: Bounds, *, tuned: bool) -> tuple[float, FloatArray]:
    """Return curves per CPU-second and estimates, (P, V).

    `tuned` is the best this loop can be: parameters scaled to their box, analytic Jacobian where the batched
    model has one that is fast for a single curve, and the first estimates of `lsq`.
    """

    def jacobian(_: FloatArray, *theta: float) -> FloatArray:
        return case.model.signal_and_jacobian(np.array(theta)[:, None], case.protocol)[1][:, :, 0].T

    lower, upper = case.model.limits(bounds)
    begin = time.process_time()
    options: dict[str, Any] = {"bounds": (lower, upper)}
    starts = np.array([case.start(y) for y in signal])
    if tuned:
        starts = case.model.start(np.ascontiguousarray(signal.T), case.protocol, lower, upper).T
        options["x_scale"] = np.where(np.isfinite(upper), upper - lower, 1.0)
        options["jac"] = jacobian if case.model.amplitude is not None else "2-point"
    room = 1e-3 * np.where(np.isfinite(upper), upper - lower, 1.0)
    estimates = np.empty((len(lower), len(signal)))
    for v, (y, start) in enumerate(zip(signal, starts, strict=True)):
        inside = np.clip(start, lower + room, upper - room)
        estimates[:, v] = curve_fit(case.curve, y, y, inside, **options)[0]
    return len(signal) / (time.process_time() - begin), estimates


def rmse(case: Case, estimate: FloatArray, truth: FloatArray) -> str:
    names = [p.name for p in case.model.parameters]
    errors = [
        factor * np.sqrt(np.mean((estimate - truth)[names.index(name)] ** 2))
        for name, _, factor in case.shown
    ]
    return " / ".join(f"{error:.3g}" for error in errors)


def missed(case: Case, signal: FloatArray, fits: list[FloatArray]) -> str:
    """Return in how many per cent of curves each fit has a cost over 0.1 % above the least of all fits."""
    costs = np.array(
        [np.sum((signal.T - case.model.signal(fit, case.protocol)) ** 2, axis=0) for fit in fits]
    )
    return " / ".join(f"{100 * np.mean(cost > 1.001 * costs.min(axis=0)):.1f}" for cost in costs)


def table(case: Case) -> list[str]:
    """Return the Markdown table of one case."""
    heads = " / ".join(head for _, head, _ in case.shown)
    lines = [
        f"## {case.title}",
        "",
        f"RMSE columns: {heads}. The constant answers mid-range everywhere.",
        "",
        "| bounds | SNR | lsq curves/s | curve_fit curves/s | ratio | tuned curve_fit curves/s | ratio "
        "| RMSE lsq | RMSE curve_fit | RMSE tuned | RMSE constant | % missed lsq / curve_fit / tuned |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for label, bounds in case.bounds.items():
        for snr in case.snrs:
            truth, signal = simulate(case, snr)
            speed, estimate = time_lsq(case, signal, bounds)
            few = slice(case.scipy_curves)
            peers = [time_scipy(case, signal[few], bounds, tuned=tuned) for tuned in (False, True)]
            middle = np.mean([truth.min(axis=1), truth.max(axis=1)], axis=0)[:, None]
            cells = [label, f"{snr:g}", f"{speed:,.0f}"]
            for rate, _ in peers:
                cells += [f"{rate:,.0f}", f"{speed / rate:,.0f}"]
            fits = [estimate[:, few], *(fit for _, fit in peers)]
            cells += [rmse(case, fit, truth[:, few]) for fit in (*fits, middle)]
            cells.append(missed(case, signal[few], fits))
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return [*lines, ""]


METHOD = f"""
`lsq` fits {BATCH:,} curves in one call and also computes standard deviations. `curve_fit` loops over the
first curves of the same batch with the same bounds, from a start value that users choose and without a
Jacobian. Tuned: scaled parameters, the first estimates of `lsq`, analytic Jacobian (VFA, IVIM). The RMSE of
all three is that of those first curves. Parameters are uniform in the training ranges; the noise is
that of the papers: Rician relative to M0 or S0, for extended Tofts Gaussian relative to the curve's maximum.
A curve is missed by a fit whose cost is over 0.1 % above the least of the three. Where `curve_fit` misses
many, its RMSE can be the lower one although its cost is higher.
"""


def main() -> None:
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    head = [
        "# Speed of batched least squares",
        "",
        f"{date.today().isoformat()}; {versions}; one thread of {os.cpu_count()} processors; CPU time.",
        METHOD,
    ]
    sections = [line for case in (vfa_case(), ivim_case(), etofts_case()) for line in table(case)]
    RESULTS.write_text("\n".join([*head, *sections]), encoding="utf-8")


if __name__ == "__main__":
    main()
