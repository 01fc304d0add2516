"""Accuracy, coverage and speed for inversion recovery and trains of echoes: network, least squares, scipy.

Run as ``python benchmarks/relaxometry.py``; writes ``benchmarks/results/relaxometry.md`` (three minutes).
Protocols are none that a network was trained with by name; truth is uniform over the range of each
model in which accuracy is reported, which both estimators are told as limits; noise is Rician and told.
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS and ONNX Runtime read these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import curve_fit

from bids_qmri.catalogue import get_model
from bids_qmri.estimators.base import FitResult, get_estimator
from bids_qmri.estimators.networks.network_file import shipped_network
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import add_rician_noise

RESULTS = Path(__file__).parent / "results" / "relaxometry.md"

PROTOCOLS: dict[str, dict[str, dict[str, Any]]] = {
    "irt1": {
        "4 times, 50-2500 ms": {"inversion_time": [0.05, 0.4, 1.1, 2.5]},
        "7 times, 50-3200 ms": {"inversion_time": [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2]},
        "9 times, 350-1700 ms": {"inversion_time": [0.35, 0.5, 0.65, 0.8, 0.95, 1.1, 1.25, 1.4, 1.7]},
        "15 times, 30-4000 ms": {"inversion_time": np.geomspace(0.03, 4.0, 15).tolist()},
    },
    "megre": {
        "3 echoes, 5-25 ms": {"echo_time": [0.005, 0.015, 0.025]},
        "6 echoes, 4.9 ms": {"echo_time": [0.0049 * i for i in range(1, 7)]},
        "12 echoes, 1.2 ms": {"echo_time": [0.0012 * i for i in range(1, 13)]},
        "8 echoes, 3 ms": {"echo_time": [0.003 * i for i in range(1, 9)]},
    },
    "mese": {
        "4 echoes, 20 ms": {"echo_time": [0.02 * i for i in range(1, 5)]},
        "7 echoes, 13.2 ms": {"echo_time": [0.0132 * i for i in range(1, 8)]},
        "32 echoes, 10 ms": {"echo_time": [0.01 * i for i in range(1, 33)]},
    },
    "epg": {
        "7 echoes, 13.2 ms": {"echo_time": [0.0132 * i for i in range(1, 8)]},
        "16 echoes, 8 ms": {"echo_time": [0.008 * i for i in range(1, 17)]},
        "32 echoes, 10 ms": {"echo_time": [0.01 * i for i in range(1, 33)]},
    },
}
SNR = {"irt1": (10.0, 30.0, 100.0, 300.0)}
USUAL_SNR = (10.0, 30.0, 100.0, 200.0)

LOOPED = 200
"""Voxels of the loop over scipy."""

INTRODUCTION = """# Inversion recovery and trains of echoes

`benchmarks/relaxometry.py`, {voxels} voxels a row, seeds {seeds}. Truth is uniform over the range in which
accuracy is reported, and both estimators are told it as limits ({ranges}); noise is Rician and told. SNR is
the amplitude over the noise of one channel. Protocols are none that a network was trained with by name.

- MSE ratio: mean squared error of `ncde` over that of `lsq`, ± one standard error; 1.00 or less is no worse.
- covered: share of errors within one given standard deviation, .68 if it is valid.

"""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voxels", type=int, default=20000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[301, 302, 303], help="below 100: for tuning")
    parser.add_argument("--models", nargs="+", choices=tuple(PROTOCOLS), default=tuple(PROTOCOLS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    ranges = "; ".join(
        f"{name}: "
        + ", ".join(f"{p.symbol} {p.training[0]:g}-{p.training[1]:g} {p.unit}" for p in _shown(name))
        for name in asked.models
    )
    lines = [INTRODUCTION.format(voxels=asked.voxels * len(asked.seeds), seeds=asked.seeds, ranges=ranges)]
    for name in asked.models:
        if shipped_network(name) is not None:
            lines += [f"## {name}\n", *_accuracy(name, asked.voxels, asked.seeds), ""]
    lines += ["## Speed\n", *_speed(asked.models), ""]
    asked.out.write_text("\n".join(lines), encoding="utf-8")


def _shown(name: str) -> list[Any]:
    model = get_model(name)
    return [p for p in model.parameters if p.name != model.amplitude]


def _accuracy(name: str, voxels: int, seeds: list[int]) -> Iterator[str]:
    """Yield the table of a model."""
    model = get_model(name)
    names = [p.name for p in (*_shown(name), *model.derived)]
    head = " | ".join(f"{one}: MSE ratio | covered ncde, lsq" for one in names)
    yield f"| protocol | SNR | {head} |"
    yield "|---|---" + "|---|---" * len(names) + "|"
    for label, played in PROTOCOLS[name].items():
        for snr in SNR.get(name, USUAL_SNR):
            cells = _row(model, played, snr, names, voxels, seeds)
            yield f"| {label} | {snr:g} | {' | '.join(cells)} |"


def _row(
    model: Model, played: dict[str, Any], snr: float, names: list[str], voxels: int, seeds: list[int]
) -> list[str]:
    protocol = model.protocol(**{key: np.array(value) for key, value in played.items()})
    errors: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        drawn = model.draw(voxels, rng)
        theta = np.stack([drawn[p.name] for p in model.parameters])
        sigma = drawn[str(model.amplitude)] / snr
        signal = add_rician_noise(model.signal(theta, protocol), sigma, rng).T
        truth = dict(drawn) | {
            p.name: row for p, row in zip(model.derived, model.derive(theta)[0], strict=True)
        }
        fits = [_fit(model, label, signal, protocol, sigma) for label in ("ncde", "lsq")]
        for name in names:
            columns = [(fit.maps[name] - truth[name], fit.sd[name]) for fit in fits]
            errors[name].append(np.stack([part for column in columns for part in column]))
    return [cell for name in names for cell in _cells(np.concatenate(errors[name], axis=1))]


def _fit(model: Model, label: str, signal: Any, protocol: Any, sigma: Any) -> FitResult:
    told = {p.name: p.training for p in _shown(model.name)}
    return get_estimator(model.name, label).fit(model, signal, protocol, sigma=sigma, bounds=told)


def _cells(found: np.ndarray) -> tuple[str, str]:
    """Return the ratio of squared errors with its standard error, and both coverages."""
    network, network_sd, classical, classical_sd = found
    both = np.isfinite(network) & np.isfinite(classical)
    ours, theirs = network[both] ** 2, classical[both] ** 2
    ratio = ours.mean() / theirs.mean()
    spread = np.std(ours - ratio * theirs) / theirs.mean() / np.sqrt(both.sum())
    shares = [
        np.mean(np.abs(error[known]) < sd[known])
        for error, sd in ((network, network_sd), (classical, classical_sd))
        for known in [np.isfinite(error) & np.isfinite(sd)]
    ]
    mark = "**" if ratio > 1 + spread else ""
    return f"{mark}{ratio:.3f} ± {spread:.3f}{mark}", f"{shares[0]:.2f}, {shares[1]:.2f}"


def _speed(models: list[str]) -> Iterator[str]:
    """Yield voxels per processor second: batched least squares, the network, and a loop over scipy."""
    yield "One thread. The loop calls `scipy.optimize.curve_fit` with limits and one start, as is usual.\n"
    yield "| model | voxels/s, lsq | voxels/s, ncde | voxels/s, scipy loop | lsq ÷ loop |"
    yield "|---|---|---|---|---|"
    for name in models:
        model = get_model(name)
        played = list(PROTOCOLS[name].values())[-1]
        protocol = model.protocol(**{key: np.array(value) for key, value in played.items()})
        signal = _signals(model, protocol)
        batched = _rate(partial(_fit, model, "lsq", signal, protocol, 0.01), len(signal))
        network = "-"
        if shipped_network(name) is not None:
            network = f"{_rate(partial(_fit, model, 'ncde', signal, protocol, 0.01), len(signal)):,.0f}"
        loop = _rate(partial(_loop, model, signal[:LOOPED], protocol), LOOPED)
        yield f"| {name} | {batched:,.0f} | {network} | {loop:,.0f} | {batched / loop:,.0f} |"


def _signals(model: Model, protocol: Any) -> Any:
    rng = np.random.default_rng(7)
    drawn = model.draw(20000, rng)
    theta = np.stack([drawn[p.name] for p in model.parameters])
    return add_rician_noise(model.signal(theta, protocol), 0.01, rng).T


def _rate(work: Callable[[], object], count: int) -> float:
    """Return voxels per processor second, the best of three times."""
    rates = []
    for _ in range(3):
        started = time.process_time()
        work()
        rates.append(count / (time.process_time() - started))
    return max(rates)


def _loop(model: Model, signal: Any, protocol: Any) -> None:
    """Fit voxel by voxel as is usual."""
    lower, upper = model.limits({})
    first = np.array([np.mean(p.training) for p in model.parameters])
    times = protocol.values()[next(iter(protocol.values()))]

    def curve(_: Any, *theta: float) -> Any:
        return model.signal(np.array(theta)[:, None], protocol)[:, 0]

    for measured in signal:
        with suppress(RuntimeError):
            curve_fit(curve, times, measured, p0=first, bounds=(lower, upper))


if __name__ == "__main__":
    main()
