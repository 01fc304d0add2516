"""What is simulated: cells of one protocol and one box, held-out curves, errors of all estimators on them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.catalogue import get_model
from bids_qmri.estimators.classical.noise import pooled_sigma
from bids_qmri.estimators.posterior.box import box, quantities
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.units import FloatArray
from kuppens.rows import rows_of

SEED = 417_902_025
"""First entry of every random stream here. Recipes start theirs with small numbers: no stream is shared."""

AMPLITUDE = (0.5, 2.0)
"""Amplitudes are log-uniform, so that the noise level does not tell them."""

TABLE1: dict[str, Bounds] = {
    "vfa": {"t1": (0.1, 3.0)},
    "ivim": {"d": (0.35e-3, 3e-3), "dstar": (0.05, 0.1), "f": (0.03, 0.25)},
    "etofts": {"kep": (0.1, 2.0), "ve": (0.01, 0.7), "vp": (0.001, 0.05), "t0": (0.0, 10.0)},
}
"""Table 1; it has no delay, which the study fits without saying in what range."""

SHOWN = {"vfa": ("t1",), "ivim": ("d", "f", "dstar"), "etofts": ("kep", "ve", "vp", "ktrans")}
SCALE = {"d": 1e3, "dstar": 1e3}
UNIT = {
    "t1": "T1 (s)",
    "d": "D (1e-3 mm²/s)",
    "f": "f",
    "dstar": "D* (1e-3 mm²/s)",
    "kep": "ke (1/min)",
    "ve": "ve",
    "vp": "vp",
    "ktrans": "Ktrans (1/min)",
}


@dataclass(frozen=True)
class Cell:
    """Curves of one protocol.

    Parameters
    ----------
    section, label
        Where its results are printed.
    model
        Word of ``--models``.
    protocol
        What was played out.
    snr
        Signal-to-noise ratios; every one gets `count` curves.
    box
        Range of the truths, and what every estimator is told.
    told
        Noise level told over the true one; None has it estimated, as of a scan with one level.
    exact
        Curves per SNR that slow estimators are asked for.
    """

    section: str
    label: str
    model: str
    protocol: Any
    snr: tuple[float, ...]
    count: int
    box: Bounds
    told: float | None = 1.0
    exact: int = 0


@dataclass(frozen=True)
class Errors:
    """Errors of all estimators on V curves; NaN where one gave no answer or was not asked.

    Parameters
    ----------
    section, model
        As in `Cell`.
    label
        Label of the cell of every curve, (V,).
    length
        Measurements of every curve, (V,).
    snr
        (V,).
    truth
        By quantity, (V,).
    error, sd
        By estimator and quantity, (V,).
    asked
        By estimator: whether it was asked, (V,).
    outside
        By estimator: share of curves with status OUT_OF_RANGE.
    prior_sd
        Standard deviation of the truths by quantity.
    sigma
        Noise level told over the true one, (V,).
    """

    section: str
    model: str
    label: npt.NDArray[np.str_]
    length: npt.NDArray[np.intp]
    snr: FloatArray
    truth: dict[str, FloatArray]
    error: dict[str, dict[str, FloatArray]] = field(default_factory=dict)
    sd: dict[str, dict[str, FloatArray]] = field(default_factory=dict)
    asked: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    outside: dict[str, float] = field(default_factory=dict)
    prior_sd: dict[str, float] = field(default_factory=dict)
    sigma: FloatArray = field(default_factory=lambda: np.empty(0))

    def pick(self, chosen: npt.NDArray[np.bool_]) -> Errors:
        """Return some of the curves."""
        part = {q: v[chosen] for q, v in self.truth.items()}
        error, sd = (
            {r: {q: v[chosen] for q, v in maps.items()} for r, maps in table.items()}
            for table in (self.error, self.sd)
        )
        return replace(
            self,
            label=self.label[chosen],
            length=self.length[chosen],
            snr=self.snr[chosen],
            truth=part,
            error=error,
            sd=sd,
            asked={r: v[chosen] for r, v in self.asked.items()},
            sigma=self.sigma[chosen],
        )


def joined(parts: Sequence[Errors]) -> Errors:
    """Put the curves of cells of one model behind each other."""
    first = parts[0]
    error, sd = (
        {
            r: {q: np.concatenate([getattr(p, name)[r][q] for p in parts]) for q in first.truth}
            for r in first.error
        }
        for name in ("error", "sd")
    )
    return replace(
        first,
        label=np.concatenate([p.label for p in parts]),
        length=np.concatenate([p.length for p in parts]),
        snr=np.concatenate([p.snr for p in parts]),
        truth={q: np.concatenate([p.truth[q] for p in parts]) for q in first.truth},
        error=error,
        sd=sd,
        asked={r: np.concatenate([p.asked[r] for p in parts]) for r in first.asked},
        sigma=np.concatenate([p.sigma for p in parts]),
    )


def simulate(cell: Cell) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return true parameters (P, V), signals (V, N), noise levels (V,) and SNR (V,), which alternates."""
    model, v = get_model(cell.model), cell.count * len(cell.snr)
    rng = np.random.default_rng([SEED, zlib.crc32(f"{cell.section} {cell.model} {cell.label}".encode())])
    theta = np.empty((len(model.parameters), v))
    for row, parameter in zip(theta, model.parameters, strict=True):
        if parameter.name == model.amplitude:
            row[:] = np.exp(rng.uniform(*np.log(AMPLITUDE), v))
        else:
            row[:] = rng.uniform(*cell.box[parameter.name], v)
    snr = np.resize(np.array(cell.snr), v)
    clean = model.signal(theta, cell.protocol)
    peak = clean.max(axis=0) if model.amplitude is None else theta[_place(model, str(model.amplitude))]
    sigma = peak / snr
    if cell.told is None:
        for level in cell.snr:
            sigma[snr == level] = np.median(sigma[snr == level])
    if model.amplitude is None:
        return theta, (clean + sigma * rng.standard_normal(clean.shape)).T.copy(), sigma, snr
    return theta, add_rician_noise(clean, sigma, rng).T.copy(), sigma, snr


def measure(cell: Cell, networks: Path | None) -> Errors:
    """Simulate a cell and run all estimators on it."""
    model = get_model(cell.model)
    theta, signal, sigma, snr = simulate(cell)
    told = sigma * (1.0 if cell.told is None else cell.told)
    if cell.told is None:
        for level in cell.snr:
            at = snr == level
            told[at] = pooled_sigma(model, signal[at], cell.protocol, bounds=cell.box)
    names = quantities(model)
    kept = [_place(model, p.name) for p in model.parameters if p.name != model.amplitude]
    truth = dict(zip(names, np.concatenate([theta[kept], model.derive(theta)[0]]), strict=True))
    result = Errors(
        cell.section,
        cell.model,
        np.full(snr.size, cell.label),
        np.full(snr.size, signal.shape[1]),
        snr,
        {q: truth[q] for q in SHOWN[cell.model]},
        prior_sd={q: _prior_sd(model, cell.box, q) for q in SHOWN[cell.model]},
        sigma=told / sigma,
    )
    for row in rows_of(cell.model, networks, seeds=cell.section == "fixed"):
        limit = len(cell.snr) * (cell.exact if row.slow else min(cell.count, row.most))
        _add(result, row.name, limit, row.fit, (model, signal, cell.protocol, told, cell.box))
    return result


def _add(result: Errors, name: str, limit: int, fit: Any, given: tuple[Any, ...]) -> None:
    model, signal, protocol, sigma, bounds = given
    size = result.snr.size
    result.asked[name] = np.arange(size) < limit
    result.error[name], result.sd[name] = ({q: np.full(size, np.nan) for q in result.truth} for _ in range(2))
    answer = None
    if limit:
        answer = fit(model, signal[:limit], protocol, sigma=sigma[:limit], bounds=bounds)
    if answer is None:
        result.asked[name][:] = False
        return
    for q, true in result.truth.items():
        result.error[name][q][:limit] = answer.maps[q] - true[:limit]
        if q in answer.sd:
            result.sd[name][q][:limit] = answer.sd[q]
    result.outside[name] = float(np.mean(answer.status == 5)) if answer.status.size else 0.0


def _place(model: Model, name: str) -> int:
    return [p.name for p in model.parameters].index(name)


def _prior_sd(model: Model, limits: Bounds, name: str) -> float:
    """Return the standard deviation of a uniform density, or that of the product of two (Ktrans)."""
    if name in limits:
        return float(np.ptp(limits[name]) / np.sqrt(12))
    second = [np.mean(limits[n]) ** 2 + np.ptp(limits[n]) ** 2 / 12 for n in ("kep", "ve")]
    first = [np.mean(limits[n]) ** 2 for n in ("kep", "ve")]
    return float(np.sqrt(np.prod(second) - np.prod(first)))


def box_width(model: Model, limits: Bounds) -> dict[str, float]:
    """Return upper minus lower limit of every quantity."""
    lower, upper = box(model, limits)
    return dict(zip(quantities(model), upper - lower, strict=True))
