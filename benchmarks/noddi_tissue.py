"""NODDI of voxels drawn by tissue, not evenly: errors of networks, posterior means and fits.

Run as ``python -m benchmarks.noddi_tissue EARLIER``, the folder of an earlier build, from the folder that
holds ``benchmarks``; writes ``benchmarks/results/noddi_tissue.md`` (some two minutes on one core). What is
drawn stands in `benchmarks.tissue_neurites`.
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
from benchmarks.earlier_build import fit_by
from benchmarks.tissue_neurites import MOSTLY_TISSUE, SCHEMES, Draws, noddi_tissue_draws
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "noddi_tissue.md"

SNR = (15.0, 25.0, 40.0)
LABELS = ("mle", "bayes", "ncde")
EARLIER = "earlier ncde"
SYMBOLS = {"ndi": "NDI", "odi": "ODI", "fwf": "FWF"}

INTRODUCTION = """# NODDI of tissue

`benchmarks/noddi_tissue.py`, {voxels} voxels a row, seeds {seeds}: 40 % white matter, 40 % grey matter, 20 %
of either mixed with fluid. Priors are learned from the voxels, the default. Root mean square errors over
those of `lsq` with the noise {noise}, ± one standard error; the earlier build is commit {commit}, with the
noise told. Last column: bias of `lsq`.

"""


def rows(draws: Draws, earlier: Path, told: bool) -> dict[str, dict[str, FloatArray]]:
    """Return errors by estimator and parameter."""
    given = {"sigma": draws.sigma if told else None}
    found = {
        label: bids_qmri.fit("noddi", draws.signal.copy(), draws.protocol, estimator=label, **given).maps
        for label in ("lsq", *LABELS)
    }
    noise = np.full(len(draws.signal), draws.sigma)
    found[EARLIER] = fit_by(earlier, "noddi", "ncde", draws.signal, draws.protocol, noise).maps
    return {row: {name: maps[name] - draws.truth[name] for name in SYMBOLS} for row, maps in found.items()}


def table(earlier: Path, voxels: int, seeds: list[int], told: bool) -> Iterator[str]:
    yield f"| scheme | SNR | parameter | {' | '.join((*LABELS, EARLIER))} | bias of lsq |"
    yield "|" + "---|" * (len(LABELS) + 5)
    for scheme in SCHEMES:
        for snr in SNR:
            drawn = [noddi_tissue_draws(scheme, snr, seed, voxels) for seed in seeds]
            found = [rows(draws, earlier, told) for draws in drawn]
            fluid = np.concatenate([draws.truth["fwf"] for draws in drawn])
            for name, symbol in SYMBOLS.items():
                errors = {row: np.concatenate([part[row][name] for part in found]) for row in found[0]}
                answered = np.all([np.isfinite(values) for values in errors.values()], axis=0)
                for most in (1.0, MOSTLY_TISSUE):
                    counts = answered & (fluid <= most)
                    base = errors["lsq"][counts]
                    cells = [_ratio(errors[row][counts], base) for row in (*LABELS, EARLIER)]
                    where = symbol if most == 1 else f"{symbol}, FWF < {most:g}"
                    yield f"| {scheme} | {snr:g} | {where} | {' | '.join(cells)} | {base.mean():+.3f} |"


def _ratio(errors: FloatArray, base: FloatArray) -> str:
    ours, theirs = errors**2, base**2
    square = ours.mean() / theirs.mean()
    spread = np.std(ours - square * theirs) / theirs.mean() / np.sqrt(ours.size)
    return f"{np.sqrt(square):.2f} ± {spread / (2 * np.sqrt(square)):.2f}"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("earlier", type=Path, help="folder of the earlier build")
    parser.add_argument("--commit", default="51ac61a", help="what the earlier build is called")
    parser.add_argument("--voxels", type=int, default=2500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102], help="below 100: for tuning")
    parser.add_argument("--noise", choices=("told", "estimated"), default="estimated")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked, begin = parser.parse_args(), time.process_time()
    count, told = asked.voxels * len(asked.seeds), asked.noise == "told"
    words = {"voxels": count, "seeds": asked.seeds, "noise": asked.noise, "commit": asked.commit}
    lines = [INTRODUCTION.format(**words), *table(asked.earlier.resolve(), asked.voxels, asked.seeds, told)]
    foot = (
        f"bids_qmri {bids_qmri.__version__}, numpy {np.__version__}; {time.process_time() - begin:.0f} CPU-s."
    )
    asked.out.write_text("\n".join([*lines, "", foot, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
