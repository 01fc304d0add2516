"""How often the truth lies within one given standard deviation, and where the data determine a parameter.

Run as ``python benchmarks/sd_coverage.py``; writes ``benchmarks/results/sd_coverage.md`` (some three minutes
on one core). Voxels have no neighbours: their truth is drawn from a prior. Images of phantoms, with organs,
lesions and denoising, are in `benchmarks.tissue`.
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS and ONNX Runtime read these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bids_qmri
from bids_qmri.catalogue import find_entry, get_model
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.estimators.determined import box_sd
from bids_qmri.physics.arterial_input import population_aif
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import Noise, add_rician_noise
from bids_qmri.physics.prior import EVEN, Bell, Prior, quantile
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.noddi.model import noddi_signal
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "sd_coverage.md"

ESTIMATORS = ("lsq", "mle", "map", "bayes", "ncde")
PHYSIOLOGY = 0.07
"""Rms of changes from image to image, independent in every voxel."""

LONGEST_DELAY = 12.0
"""s: the longest delay that estimators with a prior expect."""

SHOWN = {"dstar": "D*", "d": "D", "t1": "T1", "ktrans": "Ktrans", "ndi": "NDI", "odi": "ODI", "fwf": "FWF"}


@dataclass(frozen=True)
class Technique:
    """One model with what was played out, and where its truth is drawn from.

    Parameters
    ----------
    model
        Word of ``--models``.
    snr
        Amplitude, or largest concentration of a voxel, over the noise.
    bells
        The prior that is told.
    """

    model: str
    snr: tuple[float, ...]
    bells: Prior

    def protocol(self) -> Any:
        return PROTOCOLS[self.model]()


def _dynamic() -> DceProtocol:
    frames = 5.0 * np.arange(60)
    return DceProtocol(frames, *population_aif("parker", 30.0, frames[-1], 0.42))


def _shells() -> DiffusionProtocol:
    """Return 9 images at b = 0, 24 directions at 700 and 48 at 2000 s/mm^2, each along a spiral."""
    vectors = [np.zeros((9, 3))]
    for count in (24, 48):
        z = (np.arange(count) + 0.5) / count
        angle, ring = np.pi * (1 + np.sqrt(5.0)) * np.arange(count), np.sqrt(1 - z**2)
        vectors.append(np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1))
    return DiffusionProtocol(np.repeat([0.0, 700.0, 2000.0], (9, 24, 48)), np.concatenate(vectors))


PROTOCOLS = {
    "ivim": lambda: DiffusionProtocol([0, 0, 10, 20, 30, 50, 80, 120, 200, 300, 400, 600, 800, 800]),
    "vfa": lambda: VfaProtocol(np.deg2rad([2.0, 5.0, 10.0, 15.0]), np.array(0.015)),
    "etofts": _dynamic,
    "noddi": _shells,
}

TECHNIQUES = (
    Technique(
        "ivim",
        (10.0, 20.0, 40.0),
        Prior((("d", Bell(1.1e-3, 1.5e-4)), ("dstar", Bell(0.05, 0.4)), ("f", Bell(0.2, 0.06)))),
    ),
    Technique("vfa", (50.0, 100.0, 200.0), Prior((("t1", Bell(1.1, 0.2)),))),
    Technique(
        "etofts",
        (7.0, 15.0, 30.0),
        Prior(
            (
                ("kep", Bell(0.5, 0.3)),
                ("ve", Bell(0.3, 0.08)),
                ("vp", Bell(0.05, 0.02)),
                ("t0", Bell(4.0, 1.5)),
            )
        ),
    ),
    Technique(
        "noddi",
        (15.0, 25.0, 40.0),
        Prior((("ndi", Bell(0.55, 0.1)), ("odi", Bell(0.3, 0.08)), ("fwf", Bell(0.12, 0.06)))),
    ),
)

INTRODUCTION = """# Coverage of standard deviations, and what is determined

`benchmarks/sd_coverage.py`, {voxels} voxels per SNR and seed, seeds {seeds}; nothing was tuned on these. A
cell is the share of errors within one given standard deviation, .68 if it is valid, pooled over SNR; in
brackets the share of voxels that it is over: those where the row itself says that the data determine the
parameter, with status 1 (no parameter at its bound). Noise is told: thermal, or thermal and changes of
{physiology:.0%} rms from image to image, independent in every voxel. Told are: the prior that truth is drawn
from (a bell, or the default box); where truth is drawn from a bell, also the box alone, and a prior that is
learned from the voxels (`scan`). `lsq` and `mle` have no prior.
"""


DETERMINED = """## What is determined: even draws from the default box, thermal noise

Last, draws of IVIM from what is usual in tissue (f .03-.25, D* 50-100, D .35-3 in 1e-3 mm²/s).

| technique | SNR | parameter | estimator | determined | error below the box's sd |
|---|---|---|---|---|---|"""


def drawn(
    model: Model, prior: Prior, count: int, rng: np.random.Generator, usual: bool = False
) -> FloatArray:
    """Return parameters (P, V) from a prior within the default box or the usual range; amplitudes are 1."""
    limits = dict(model.prior({"t0": (0.0, LONGEST_DELAY)} if model.name == "etofts" else None))
    limits |= {p.name: p.training for p in model.parameters if usual and p.name in limits}
    theta = np.ones((len(model.parameters), count))
    for row, parameter in zip(theta, model.parameters, strict=True):
        if parameter.name in limits and not parameter.internal:
            row[:] = quantile(prior, parameter, rng.random(count), *limits[parameter.name])
    return theta


def curves(model: Model, theta: FloatArray, protocol: Any, rng: np.random.Generator) -> FloatArray:
    """Return noise-free signals, (N, V)."""
    if model.name != "noddi":
        return np.asarray(model.signal(theta, protocol))
    fibre = rng.standard_normal((theta.shape[1], 3))
    fibre /= np.linalg.norm(fibre, axis=1, keepdims=True)
    return noddi_signal(theta[0], theta[1], theta[2], fibre, protocol)


def measured(
    clean: FloatArray, magnitude: bool, snr: float, physiology: float, rng: np.random.Generator
) -> tuple[FloatArray, Noise]:
    """Return signals (V, N) and their true noise; that of concentrations is Gaussian."""
    floor = (1.0 if magnitude else clean.max(axis=0)) / snr * np.ones(clean.shape[1])
    moved = clean * (1 + physiology * rng.standard_normal(clean.shape))
    signal = (
        add_rician_noise(moved, floor, rng) if magnitude else moved + floor * rng.standard_normal(clean.shape)
    )
    scatter = np.hypot(floor, physiology * np.sqrt(np.mean(clean**2, axis=0)))
    return np.abs(signal.T) if magnitude else signal.T, Noise(floor, scatter)


@dataclass(frozen=True)
class Scan:
    """Voxels at one SNR: truth by name, signals (V, N), their noise and protocol."""

    model: str
    truth: dict[str, FloatArray]
    signal: FloatArray
    noise: Noise
    protocol: Any

    def fit(self, label: str, prior: Prior | str) -> FitResult:
        told = {"estimator": label, "sigma": self.noise, "prior": prior}
        return bids_qmri.fit(self.model, self.signal, self.protocol, **told)


def scans(
    technique: Technique, prior: Prior, physiology: float, voxels: int, seeds: list[int], usual: bool = False
) -> list[Scan]:
    """Return a scan per SNR and seed."""
    model, protocol, found = get_model(technique.model), technique.protocol(), []
    for snr in technique.snr:
        for seed in seeds:
            rng = np.random.default_rng([seed, round(snr), round(100 * physiology), len(prior.bells)])
            theta = drawn(model, prior, voxels, rng, usual)
            clean = curves(model, theta, protocol, rng)
            signal, noise = measured(clean, model.name != "etofts", snr, physiology, rng)
            derived = () if model.name == "noddi" else model.derive(theta)[0]
            names = [p.name for p in (*model.parameters, *model.derived)]
            truth = dict(zip(names, [*theta, *derived], strict=False))
            shown = {name: truth[name] for name in box_sd(model) if name != "t0"}
            found.append(Scan(model.name, shown, signal, noise, protocol))
    return found


def covered(found: FitResult, truth: FloatArray, name: str) -> FloatArray:
    """Return whether errors lie within one standard deviation, of voxels that count."""
    counts = found.determined[name] & (found.status == Status.OK)
    return np.asarray((np.abs(found.maps[name] - truth) <= found.sd[name])[counts])


def coverage_table(technique: Technique, voxels: int, seeds: list[int]) -> Iterator[str]:
    """Yield the lines of one technique."""
    served = find_entry(technique.model)[1].estimators
    labels = [label for label in ESTIMATORS if label in served]
    yield f"| drawn from, told | scatter | parameter | {' | '.join(labels)} |"
    yield "|" + "---|" * (len(labels) + 3)
    cases = ((technique.bells, technique.bells, "bell, the bell"), (EVEN, "box", "box, the box"))
    others = ((technique.bells, "box", "bell, the box"), (technique.bells, "scan", "bell, scan"))
    for source, told, words in (*cases, *others):
        for physiology in (0.0, PHYSIOLOGY):
            kind = "physiological" if physiology else "thermal"
            made = scans(technique, source, physiology, voxels, seeds)
            fits = {label: [scan.fit(label, told) for scan in made] for label in labels}
            for name in made[0].truth:
                cells = []
                for label in labels:
                    pairs = zip(fits[label], made, strict=True)
                    inside = np.concatenate([covered(fit, scan.truth[name], name) for fit, scan in pairs])
                    share = inside.size / sum(scan.signal.shape[0] for scan in made)
                    cells.append(
                        f"{inside.mean():.2f} ({share:.0%})" if inside.size > 50 else f"({share:.0%})"
                    )
                yield f"| {words} | {kind} | {SHOWN.get(name, name)} | {' | '.join(cells)} |"


def determined_table(technique: Technique, voxels: int, seeds: list[int], usual: bool) -> Iterator[str]:
    """Yield what is determined of even draws from the default box, or the usual range, by SNR."""
    labels = [label for label in ESTIMATORS if label in find_entry(technique.model)[1].estimators]
    guess = box_sd(get_model(technique.model))
    made = scans(technique, EVEN, 0.0, voxels, seeds[:1], usual)
    for scan, snr in zip(made, technique.snr, strict=True):
        for label in labels:
            found = scan.fit(label, "box")
            for name, truth in scan.truth.items():
                known = found.determined[name]
                close = np.abs(found.maps[name] - truth)[known] < guess[name]
                cells = f"{known.mean():.0%} | {close.mean():.1%}" if known.any() else "0% | "
                where = f"{technique.model}{', usual range' if usual else ''}"
                yield f"| {where} | {snr:g} | {SHOWN.get(name, name)} | {label} | {cells} |"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voxels", type=int, default=700)
    parser.add_argument("--seeds", type=int, nargs="+", default=[201, 202], help="below 100: for tuning")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked, begin = parser.parse_args(), time.process_time()
    told = {"voxels": asked.voxels, "seeds": asked.seeds, "physiology": PHYSIOLOGY}
    lines = [INTRODUCTION.format(**told)]
    for technique in TECHNIQUES:
        ratios = ", ".join(f"{snr:g}" for snr in technique.snr)
        lines += [f"## {technique.model}, SNR {ratios}\n"]
        lines += [*coverage_table(technique, asked.voxels, asked.seeds), ""]
    lines += [DETERMINED]
    for technique in TECHNIQUES:
        lines += determined_table(technique, asked.voxels, asked.seeds, usual=False)
    lines += [*determined_table(TECHNIQUES[0], asked.voxels, asked.seeds, usual=True), ""]
    foot = (
        f"bids_qmri {bids_qmri.__version__}, numpy {np.__version__}; {time.process_time() - begin:.0f} CPU-s."
    )
    asked.out.write_text("\n".join([*lines, foot, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
