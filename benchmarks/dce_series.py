"""Dynamic series: a delay after a measured input, few baseline frames, and more plasma than tissue holds.

Run as ``python benchmarks/dce_series.py``; writes ``benchmarks/results/dce_series.md`` (some four minutes on
one core). Voxels have no neighbours. Kinetics of a brain with a tumour are in `benchmarks.tissue`.
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

import numpy as np

import bids_qmri
from bids_qmri.estimation.blocks import fit_array
from bids_qmri.estimation.preparation import Scan, prepare
from bids_qmri.estimators.base import FitResult, Status, get_estimator
from bids_qmri.physics.arterial_input import population_aif
from bids_qmri.physics.model import Bounds
from bids_qmri.physics.spoiled_gradient_echo import concentration_to_signal
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.dce.settings import Aif, DceSettings
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "dce_series.md"

HEMATOCRIT = 0.42
ARRIVAL = 20.0
"""s after the first frame at which the bolus is in the artery."""

SHOWN = {"kep": "kep", "ve": "ve", "vp": "vp", "ktrans": "Ktrans"}
RANGES: Bounds = {"kep": (0.1, 1.5), "ve": (0.1, 0.6), "vp": (0.01, 0.1)}
"""1/min and shares; truth is uniform."""

SCHEMES = {"68 x 3 s": (68, 3.0), "40 x 6 s": (40, 6.0), "17 x 9 s": (17, 9.0)}
SNR = (5.0, 10.0, 20.0, 40.0)
DELAYS = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
"""s; as many voxels have each."""

LONGEST = 10.0
LABELS = ("lsq", "map", "ncde")

BASELINES = (2, 4, 8, 16, 32, 64)
SERIES_SNR, SPACING, S0, T10, AFTER = 20.0, 3.0, 100.0, 1.2, 60
"""Signal before the bolus over the noise of one image; s; signal; s; frames after the baseline."""
SCANNER = {"flip_angle": np.deg2rad(20.0), "repetition_time": 0.005, "relaxivity": 4.5}

BLOOD, BLOOD_SHARE, BLOOD_SNR = 0.45, 0.2, (10.0, 20.0, 40.0, 80.0)
"""vp beyond the limits of tissue, share of voxels that have it, SNR."""

INTRODUCTION = """# Dynamic series: delay, baseline, plasma beyond the limits

`benchmarks/dce_series.py`, extended Tofts, seeds {seeds}; nothing was tuned on these. Truth is uniform: kep
{kep} / min, ve {ve}, vp {vp}. The input is measured, that of Parker et al., and reaches the artery at
{arrival:g} s. Limits are those of the command line, even within them (`--prior box`), unless said otherwise.

"""

DELAY = """## True delay of 0 to 10 s

{voxels} voxels per scheme and SNR; SNR is the largest concentration of a voxel over the noise, which is told.
Mean squared errors over that of the posterior mean, in turn: with the delay free within the limits of the
command line; with the delay free and the very ranges that truth is drawn from; with the true delay known.
± is one standard error of the first. Last line of a case: the posterior mean with the delay free over the one
with the delay known.
"""

BASELINE = """## Frames before the bolus

{voxels} voxels; spoiled gradient echoes, {snr:g} is the signal before the bolus over the noise, which is not
told. Share of errors within one given standard deviation, of voxels with status 1 (their share in brackets);
.68 if it is valid.
"""

BEYOND = """## Plasma volume of {blood} where tissue is expected to hold .3 at most

{voxels} voxels, of which {share:.0%} are blood; frames {scheme}, delays of 0 to 10 s, noise told. Flagged:
share of blood, and of the others, with status 5. Then MSE of blood over that of `lsq`, and the share of its
errors of vp within one standard deviation.
"""


@dataclass(frozen=True)
class Series:
    """Voxels with truth by name, concentrations (V, N), their noise (V,) and protocol."""

    truth: dict[str, FloatArray]
    signal: FloatArray
    sigma: FloatArray
    protocol: DceProtocol

    def take(self, voxels: FloatArray) -> Series:
        """Return some voxels."""
        truth = {name: values[voxels] for name, values in self.truth.items()}
        return Series(truth, self.signal[voxels], self.sigma[voxels], self.protocol)

    def fit(self, label: str, bounds: Bounds | None = None, prior: str = "box") -> FitResult:
        told = {"estimator": label, "sigma": self.sigma, "bounds": bounds, "prior": prior}
        return bids_qmri.fit("etofts", self.signal, self.protocol, **told)

    def errors(self, found: FitResult) -> dict[str, FloatArray]:
        """Return squared errors by name."""
        return {name: (found.maps[name] - self.truth[name]) ** 2 for name in SHOWN}


def driven(frames: int, spacing: float, arrival: float = ARRIVAL) -> DceProtocol:
    time_of = spacing * np.arange(frames)
    return DceProtocol(time_of, *population_aif("parker", arrival, time_of[-1], HEMATOCRIT))


def kinetics(rng: np.random.Generator, voxels: int) -> dict[str, FloatArray]:
    """Return truth by name, with delays in turn."""
    truth = {name: rng.uniform(*limits, voxels) for name, limits in RANGES.items()}
    truth["t0"] = np.resize(DELAYS, voxels)
    return truth | {"ktrans": truth["kep"] * truth["ve"]}


def concentrations(truth: dict[str, FloatArray], protocol: DceProtocol) -> FloatArray:
    """Return noise-free curves, (V, N)."""
    theta = np.stack([truth[name] for name in ("kep", "ve", "vp", "t0")])
    return EXTENDED_TOFTS.signal(theta, protocol).T


def series(scheme: str, snr: float, seed: int, voxels: int, blood: float = 0.0) -> Series:
    """Return noisy voxels of a scheme, the first share `blood` of which are blood."""
    rng, protocol = np.random.default_rng([seed, round(snr), len(scheme)]), driven(*SCHEMES[scheme])
    truth = kinetics(rng, voxels)
    truth["vp"][: round(blood * voxels)] = BLOOD
    clean = concentrations(truth, protocol)
    sigma = clean.max(axis=1) / snr
    return Series(truth, clean + sigma[:, None] * rng.standard_normal(clean.shape), sigma, protocol)


def delay_table(voxels: int, seeds: list[int]) -> Iterator[str]:
    yield f"| scheme | SNR | estimator | {' | '.join(SHOWN.values())} |"
    yield "|" + "---|" * (len(SHOWN) + 3)
    for scheme in SCHEMES:
        for snr in SNR:
            errors = [_errors_of(series(scheme, snr, seed, voxels)) for seed in seeds]
            pooled = {
                row: {name: np.concatenate([e[row][name] for e in errors]) for name in SHOWN}
                for row in errors[0]
            }
            for label in LABELS:
                cells = [_against(pooled, label, name) for name in SHOWN]
                yield f"| {scheme} | {snr:g} | {label} | {' | '.join(cells)} |"
            of = [pooled["free"][name].mean() / pooled["known"][name].mean() for name in SHOWN]
            cells = [f"{ratio:.2f}" for ratio in of]
            yield f"| {scheme} | {snr:g} | posterior, free ÷ known | {' | '.join(cells)} |"


def _errors_of(one: Series) -> dict[str, dict[str, FloatArray]]:
    """Return squared errors by row and parameter; estimators and three posterior means."""
    found = {label: one.errors(one.fit(label)) for label in LABELS}
    found["free"] = one.errors(one.fit("bayes"))
    found["same range"] = one.errors(one.fit("bayes", {**RANGES, "t0": (0.0, LONGEST)}))
    known = {name: np.empty(one.sigma.shape) for name in SHOWN}
    for delay in DELAYS:
        at = np.flatnonzero(one.truth["t0"] == delay)
        part = one.take(at)
        for name, squares in part.errors(part.fit("bayes", {"t0": (delay, delay)})).items():
            known[name][at] = squares
    return found | {"known": known}


def _against(pooled: dict[str, dict[str, FloatArray]], label: str, name: str) -> str:
    """Return the ratios to the posterior means, in voxels where all answer."""
    rows = (label, "free", "same range", "known")
    table = np.stack([pooled[row][name] for row in rows])
    table = table[:, np.all(np.isfinite(table), axis=0)]
    ratios = table[0].mean() / table[1:].mean(axis=1)
    error = np.std(table[0] - ratios[0] * table[1]) / table[1].mean() / np.sqrt(table.shape[1])
    mark = "**" if ratios[0] > 1.2 else ""
    return f"{mark}{ratios[0]:.2f} ± {error:.2f}{mark}; {ratios[1]:.2f}; {ratios[2]:.2f}"


def baseline_table(voxels: int, seeds: list[int]) -> Iterator[str]:
    yield f"| frames | estimator | {' | '.join(SHOWN.values())} |"
    yield "|" + "---|" * (len(SHOWN) + 2)
    labels = ("lsq", "map", "bayes", "ncde")
    inside: dict[tuple[str, str], list[FloatArray]] = {}
    for frames in BASELINES:
        for label in labels:
            parts = [_covered(frames, label, voxels, seed) for seed in seeds]
            cells = []
            for name in SHOWN:
                told = np.concatenate([part[name] for part in parts])
                inside.setdefault((label, name), []).append(told)
                share = told.size / (voxels * len(seeds))
                cells.append(f"{told.mean():.2f} ({share:.0%})" if told.size > 50 else f"({share:.0%})")
            yield f"| {frames} | {label} | {' | '.join(cells)} |"
    for label in labels:
        pooled = [f"{np.concatenate(inside[label, name]).mean():.2f}" for name in SHOWN]
        yield f"| all | {label} | {' | '.join(pooled)} |"


def _covered(frames: int, label: str, voxels: int, seed: int) -> dict[str, FloatArray]:
    """Return whether errors of estimated voxels lie within one standard deviation, by name."""
    rng, time_of = np.random.default_rng([seed, frames]), SPACING * np.arange(frames + AFTER)
    aif = population_aif("parker", time_of[frames] - 0.5 * SPACING, time_of[-1], HEMATOCRIT)
    truth = kinetics(rng, voxels)
    curve = concentrations(truth, DceProtocol(time_of, *aif))
    clean = concentration_to_signal(curve, np.full(voxels, S0), np.full(voxels, T10), **SCANNER)
    signal = clean + S0 / SERIES_SNR * rng.standard_normal(clean.shape)
    played = (*SCANNER.values(), HEMATOCRIT, frames, Aif("measured", *aif), T10)
    scan = Scan(
        None,
        DceSettings(time_of, *played),
        np.ones(voxels, dtype=bool),
        mean_curve=lambda: signal.mean(axis=0),
    )
    by = get_estimator("etofts", label)
    found = fit_array(EXTENDED_TOFTS, by, prepare(EXTENDED_TOFTS, by, scan), signal, None, "box")
    usual = found.status == Status.OK
    return {n: (np.abs(found.maps[n] - truth[n]) <= found.sd[n])[usual] for n in SHOWN}


def beyond_table(scheme: str, voxels: int, seeds: list[int]) -> Iterator[str]:
    heads = " | ".join((*SHOWN.values(), "vp covered"))
    yield f"| SNR | prior | estimator | blood flagged | others flagged | {heads} |"
    yield "|" + "---|" * (len(SHOWN) + 6)
    count = round(BLOOD_SHARE * voxels)
    for snr in BLOOD_SNR:
        made = [series(scheme, snr, seed, voxels, BLOOD_SHARE) for seed in seeds]
        base = [one.errors(one.fit("lsq")) for one in made]
        for prior in ("box", "scan"):
            for label in ("map", "bayes", "ncde"):
                fits = [one.fit(label, prior=prior) for one in made]
                flags = np.stack([fit.status == Status.OUT_OF_RANGE for fit in fits])
                ratios = [
                    np.mean(
                        [one.errors(fit)[name][:count].mean() for one, fit in zip(made, fits, strict=True)]
                    )
                    / np.mean([errors[name][:count].mean() for errors in base])
                    for name in SHOWN
                ]
                inside = np.mean([np.abs(f.maps["vp"] - BLOOD)[:count] <= f.sd["vp"][:count] for f in fits])
                shares = f"{flags[:, :count].mean():.0%} | {flags[:, count:].mean():.1%}"
                cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
                yield f"| {snr:g} | {prior} | {label} | {shares} | {cells} | {inside:.2f} |"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voxels", type=int, default=900)
    parser.add_argument("--seeds", type=int, nargs="+", default=[201, 202], help="below 100: for tuning")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked, begin = parser.parse_args(), time.process_time()
    count, ranges = asked.voxels * len(asked.seeds), {n: f"{a:g}-{b:g}" for n, (a, b) in RANGES.items()}
    given = asked.voxels, asked.seeds
    lines = [INTRODUCTION.format(seeds=asked.seeds, arrival=ARRIVAL, **ranges)]
    lines += [DELAY.format(voxels=count), *delay_table(*given), ""]
    lines += [BASELINE.format(voxels=count, snr=SERIES_SNR), *baseline_table(*given), ""]
    scheme = "40 x 6 s"
    told = {"blood": BLOOD, "voxels": count, "share": BLOOD_SHARE, "scheme": scheme}
    lines += [BEYOND.format(**told), *beyond_table(scheme, *given), ""]
    foot = (
        f"bids_qmri {bids_qmri.__version__}, numpy {np.__version__}; {time.process_time() - begin:.0f} CPU-s."
    )
    asked.out.write_text("\n".join([*lines, foot, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
