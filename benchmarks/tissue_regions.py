"""The default network beside least squares by region of tissue, where it says that its answer is to be used.

Run as ``python -m benchmarks.tissue_regions`` from the folder that holds ``benchmarks``; writes
``benchmarks/results/tissue_regions.md`` (some three minutes on one core). Phantoms, noise and seeds are those
of `benchmarks.tissue`, whose tables are over all voxels.
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
from pathlib import Path

import numpy as np

import bids_qmri
from benchmarks.tissue import SNR
from benchmarks.tissue_base import Phantom, noisy
from benchmarks.tissue_phantoms import PHANTOMS
from benchmarks.tissue_report import SHOWN
from benchmarks.tissue_rows import as_app
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "tissue_regions.md"

LEAST_SNR, PHYSIOLOGY, MOST = 10.0, 0.07, 1.05
FEWEST = 20
"""Voxels of a region from which it is told."""

INTRODUCTION = """# The default network by region

`benchmarks/tissue_regions.py`, phantoms of `tissue.md`, seeds {seeds}, noise estimated, prior learned from
the scan. MSE of `ncde` over that of `lsq` ± one standard error of independent voxels: over all voxels of a
region, over those that `ncde` does not flag (status 5), and over those of the latter in which it says that
the parameter is determined; the share of voxels in brackets. Listed are regions of {fewest} voxels or more
that are above {most} in one of the three; the last line of each phantom counts the others.
`moving`: changes of {physiology:.0%} rms from image to image and a g-factor.

| phantom | parameter | region | all | unflagged | determined |
|---|---|---|---|---|---|
"""


def scan_rows(phantom: Phantom, snr: float, seed: int, moving: bool) -> dict[str, FloatArray]:
    """Return squared errors of `ncde` and `lsq`, and whether voxels are unflagged and determined, (4, V)."""
    scan = noisy(phantom, snr, seed, physiology=PHYSIOLOGY if moving else 0.0, g_factor=moving)
    fits = [as_app(phantom, scan.images, None, label=label) for label in ("ncde", "lsq")]
    return {name: _columns(phantom, name, fits) for name in phantom.scored}


def _columns(phantom: Phantom, name: str, fits: list[FitResult]) -> FloatArray:
    truth, network = phantom.voxels(phantom.truth[name]), fits[0]
    squares = [(fit.maps[name] - truth) ** 2 for fit in fits]
    unflagged = network.status != Status.OUT_OF_RANGE
    return np.stack([*squares, unflagged, unflagged & network.determined[name]])


def lines(title: str, name: str, snr: float, seeds: list[int], moving: bool) -> Iterator[str]:
    """Yield the regions of a phantom that are above the limit, and how many are not."""
    phantoms = [PHANTOMS[name](seed) for seed in seeds]
    found = [scan_rows(p, snr, seed, moving) for p, seed in zip(phantoms, seeds, strict=True)]
    others = 0
    for parameter in phantoms[0].scored:
        for region in dict.fromkeys(region for p in phantoms for region in p.regions):
            inside = [p.voxels(p.regions.get(region, np.zeros_like(p.mask))) for p in phantoms]
            parts = [rows[parameter][:, at] for rows, at in zip(found, inside, strict=True)]
            columns = np.concatenate(parts, axis=1)
            columns = columns[:, np.all(np.isfinite(columns), axis=0)]
            if columns.shape[1] < FEWEST:
                continue
            ratios = [_ratio(columns, chosen) for chosen in (np.ones(columns.shape[1]), *columns[2:])]
            if max(ratio[0] for ratio in ratios) <= MOST:
                others += 1
                continue
            symbol = SHOWN[parameter][0].split(" (")[0]
            yield f"| {title} | {symbol} | {region} | {' | '.join(ratio[1] for ratio in ratios)} |"
    yield f"| {title} | | {others} regions not above {MOST:g} | | | |"


def _ratio(columns: FloatArray, chosen: FloatArray) -> tuple[float, str]:
    """Return a ratio, 0 of too few voxels, and its text."""
    ours, theirs = columns[:2, chosen > 0]
    share = f"({ours.size / columns.shape[1]:.0%})"
    if ours.size < FEWEST:
        return 0.0, share
    ratio = ours.mean() / theirs.mean()
    error = np.std(ours - ratio * theirs) / theirs.mean() / np.sqrt(ours.size)
    mark = "**" if ratio - error > MOST else ""
    return ratio, f"{mark}{ratio:.2f} ± {error:.2f}{mark} {share}"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102], help="below 100: for tuning")
    parser.add_argument("--techniques", nargs="+", choices=tuple(PHANTOMS), default=tuple(PHANTOMS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked, begin = parser.parse_args(), time.process_time()
    told = {"seeds": asked.seeds, "fewest": FEWEST, "most": MOST, "physiology": PHYSIOLOGY}
    found = []
    for name in asked.techniques:
        for moving in (False, True) if name == "ivim" else (False,):
            for snr in (value for value in SNR[name] if value >= LEAST_SNR):
                title = f"{name}{', moving' if moving else ''}, SNR {snr:g}"
                found += lines(title, name, snr, asked.seeds, moving)
    foot = (
        f"bids_qmri {bids_qmri.__version__}, numpy {np.__version__}; {time.process_time() - begin:.0f} CPU-s."
    )
    asked.out.write_text("\n".join([INTRODUCTION.format(**told) + "\n".join(found), "", foot, ""]), "utf-8")


if __name__ == "__main__":
    main()
