"""Curves per second beside scipy's `curve_fit`, and whether a result depends on the batch it is in."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.catalogue import get_model
from bids_qmri.physics.arterial_input import rata
from bids_qmri.units import FloatArray
from kuppens.cells import SHOWN, TABLE1, Cell, box_width, simulate
from kuppens.designs import STEP, TR, table3
from kuppens.rows import STUDY, STUDY_CURVES, rows_of

TITLE = {"vfa": "VFA, 4 flips", "ivim": "IVIM, 7 b-values", "etofts": "DCE, 17 frames"}
SNR = {"vfa": 150.0, "ivim": 20.0, "etofts": 20.0}
ALONE = 200
"""Curves that are computed one by one to see whether their batch matters."""


@dataclass(frozen=True)
class Speed:
    """Curves per CPU-second of one estimator in one process, and the sum of two that run at once."""

    model: str
    row: str
    one: float
    two: float


@dataclass(frozen=True)
class Chunking:
    """Largest difference to one batch, over the limits' distance, of estimates and standard deviations.

    Parameters
    ----------
    alone, parts
        Of curves one by one and of curves in chunks of 1000.
    batch
        Curves of the batch.
    """

    model: str
    row: str
    alone: float
    parts: float
    batch: int


def speeds(networks: Path | None, workers: Executor, batch: int, seconds: float) -> list[Speed]:
    """Time all estimators and `curve_fit`, one after the other; `workers` are two processes."""
    found = []
    for model in TABLE1:
        fast = [row.name for row in rows_of(model, networks) if not row.slow and row.name != "constant"]
        for name in ["curve_fit", *fast]:
            one = workers.submit(rate, model, name, networks, batch, seconds).result()
            both = [workers.submit(rate, model, name, networks, batch, seconds) for _ in range(2)]
            found.append(Speed(model, name, one, sum(task.result() for task in both)))
    return found


def rate(model: str, name: str, networks: Path | None, batch: int, seconds: float) -> float:
    """Return curves per CPU-second, Table 3, middle SNR of the study."""
    curves = {"curve_fit": 60, "bayes": 2000, STUDY: STUDY_CURVES}.get(name, batch)
    cell = Cell("speed", name, model, table3(model), (SNR[model],), curves, TABLE1[model])
    _, signal, sigma, _ = simulate(cell)
    if name == "curve_fit":
        scipy_loop(model, signal[:2])
        return _timed(lambda: scipy_loop(model, signal), curves, seconds)
    fit = next(row.fit for row in rows_of(model, networks) if row.name == name)
    given = get_model(model), signal, cell.protocol
    fit(given[0], signal[:64], given[2], sigma=sigma[:64], bounds=cell.box)
    return _timed(lambda: fit(*given, sigma=sigma, bounds=cell.box), curves, seconds)


def _timed(work: Callable[[], object], curves: int, seconds: float) -> float:
    begin, done = time.process_time(), 0
    while time.process_time() - begin < seconds:
        work()
        done += curves
    return done / (time.process_time() - begin)


def scipy_loop(model: str, signal: FloatArray) -> None:
    """Fit every curve as a user of scipy does: own signal equation, limits of Table 1, no Jacobian."""
    from scipy.optimize import curve_fit

    curve, start = CURVES[model]()
    limits = {**TABLE1[model], "m0": (0.0, np.inf), "s0": (0.0, np.inf)}
    lower, upper = np.array([limits[p.name] for p in get_model(model).parameters]).T
    for y in signal:
        curve_fit(curve, y, y, start(y), bounds=(lower, upper))


Curve = tuple[Callable[..., FloatArray], Callable[[FloatArray], list[float]]]


def _vfa() -> Curve:
    flip = np.deg2rad([1.0, 6.0, 10.0, 25.0])
    sine, cosine = np.sin(flip), np.cos(flip)

    def curve(_: FloatArray, t1: float, m0: float) -> FloatArray:
        e1 = np.exp(-TR / t1)
        return np.asarray(m0 * sine * (1 - e1) / (1 - e1 * cosine))

    return curve, lambda y: [1.0, 10 * float(y.max())]


def _ivim() -> Curve:
    b = np.array([0.0, 10, 20, 50, 100, 300, 600])

    def curve(_: FloatArray, d: float, dstar: float, f: float, s0: float) -> FloatArray:
        return np.asarray(s0 * ((1 - f) * np.exp(-b * d) + f * np.exp(-b * dstar)))

    return curve, lambda y: [0.001, 0.07, 0.1, float(y[0])]


def _etofts() -> Curve:
    frames = 9.0 * np.arange(1, 18)
    times = np.arange(0.0, frames[-1] + STEP, STEP)
    plasma, minutes = rata(times), times / 60

    def curve(_: FloatArray, kep: float, ve: float, vp: float, t0: float) -> FloatArray:
        kernel = np.exp(-kep * minutes)
        tissue = np.convolve(plasma, kernel)[: minutes.size] - 0.5 * (plasma + plasma[0] * kernel)
        total = vp * plasma + kep * ve * tissue * (minutes[1] - minutes[0])
        return np.interp(frames - t0, times, total, left=0.0)

    return curve, lambda y: [0.6, 0.2, 0.02, 5.0]


CURVES = {"vfa": _vfa, "ivim": _ivim, "etofts": _etofts}


def chunking(model: str, networks: Path | None, batch: int) -> list[Chunking]:
    """Compare one batch with curves one by one and in chunks, for all estimators that are fast enough."""
    cell = Cell("chunking", "", model, table3(model), (SNR[model],), batch, TABLE1[model])
    _, signal, sigma, _ = simulate(cell)
    width = box_width(get_model(model), cell.box)
    found = []
    for row in rows_of(model, networks):
        if row.slow or row.name == "constant":
            continue

        def maps(first: int, last: int, fit: Callable[..., Any] = row.fit) -> FloatArray:
            answer = fit(
                get_model(model), signal[first:last], cell.protocol, sigma=sigma[first:last], bounds=cell.box
            )
            values = [m[q] / width[q] for m in (answer.maps, answer.sd) for q in SHOWN[model] if q in m]
            return np.array(values)

        size = batch if row.name != STUDY else min(10 * STUDY_CURVES, batch)
        whole = maps(0, size)
        alone = np.concatenate([maps(v, v + 1) for v in range(ALONE)], axis=1)
        parts = np.concatenate([maps(v, v + 1000) for v in range(0, min(size, 10_000), 1000)], axis=1)
        differences = [float(np.nanmax(np.abs(x - whole[:, : x.shape[1]]))) for x in (alone, parts)]
        found.append(Chunking(model, row.name, *differences, size))
    return found


def speed_table(found: list[Speed]) -> list[str]:
    lines = [
        "| | estimator | one process | two processes | ÷ curve_fit, one | ÷ curve_fit, two |",
        "|---|---|---|---|---|---|",
    ]
    base = {s.model: s for s in found if s.row == "curve_fit"}
    for s in found:
        one, two = s.one / base[s.model].one, s.two / base[s.model].two
        lines.append(
            f"| {TITLE[s.model]} | {s.row} | {s.one:,.0f} | {s.two:,.0f} | {one:,.0f} | {two:,.0f} |"
        )
    return [*lines, ""]


def chunking_table(found: list[Chunking]) -> list[str]:
    lines = ["| | estimator | one by one | chunks of 1000 | batch |", "|---|---|---|---|---|"]
    for c in found:
        lines.append(f"| {TITLE[c.model]} | {c.row} | {c.alone:.1e} | {c.parts:.1e} | {c.batch:,} |")
    return [*lines, ""]
