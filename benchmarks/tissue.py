"""Accuracy on tissue: phantoms with real edges, lesions and vessels, and repeatability in vivo.

Run as ``python -m benchmarks.tissue`` from the folder that holds ``benchmarks``; writes
``benchmarks/results/tissue.md`` (some 25 minutes on one core). ``--quick`` is a trial of a minute. What is
compared stands in `benchmarks.tissue_rows`, phantoms in `benchmarks.tissue_phantoms`.
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS and ONNX Runtime read these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import platform
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

import bids_qmri
from benchmarks.tissue_invivo import INVIVO_ROWS, repeatability
from benchmarks.tissue_phantoms import PHANTOMS, MissingDataError, Noisy, Phantom, noisy
from benchmarks.tissue_report import Section, markdown, summary, table
from benchmarks.tissue_rows import BASE, ROWS, Row
from benchmarks.tissue_scores import Answer, Scores, add
from bids_qmri.errors import InputError

RESULTS = Path(__file__).parent / "results" / "tissue.md"

SNR = {
    "ivim": (10.0, 20.0, 40.0),
    "vfa": (10.0, 20.0, 40.0),
    "dce": (7.0, 15.0, 30.0),
    "dce-signal": (20.0,),
    "noddi-s1": (20.0, 40.0),
    "noddi-ukb": (20.0,),
}
"""By phantom; what S is, the phantoms say."""

LONGEST_REASON = 160
"""Characters of an error that are reported."""

INTRODUCTION = """# Accuracy on tissue

Phantoms of known truth with the edges of real anatomy (`benchmarks/tissue_phantoms.py`): IVIM in the
abdomens of three volunteers, VFA, DCE and NODDI in slices of ICBM152. Lesions have 5 to 9 voxels, vessels are
one voxel wide, every tissue has a texture. Errors are those of voxels where all rows but the oracle give
finite values. `matter`: FWF below .5.

- MSE ÷ lsq: over the same voxels, ± one standard error ({errors}).
- covered: share of errors within one given standard deviation, .68 if it is valid.
- lesion contrast: recovered part of the difference between a lesion and what is within two voxels of it in
  the same tissue, mean over lesions that differ by 20 % or more, ± one standard error.
- edge: voxels with a face to another tissue. Tissues are without their lesions and vessels.
- determined: voxels whose parameter the row itself says that the data determine, where it says so.

`smooth + lsq`: images smoothed by a Gaussian of 2 voxels (FWHM) within the mask. `constant`: the mean truth
of the phantom. `oracle`: the posterior mean of single voxels under the true distribution of the phantom
(`benchmarks/tissue_oracle.py`), which is lowest over all voxels, not in every region; its ratio is over the
voxels that it answers, and for NODDI it is told the direction. Noise: {noise}.
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--techniques", nargs="*", choices=tuple(PHANTOMS), default=tuple(PHANTOMS))
    parser.add_argument("--rows", nargs="+", help="names of rows; lsq is always one")
    parser.add_argument("--snr", nargs="+", type=float, help="instead of those of each technique")
    parser.add_argument("--seeds", nargs="+", type=int, default=(100, 101, 102), help="below 100: for tuning")
    parser.add_argument("--noise", choices=("known", "estimated"), default="estimated")
    parser.add_argument(
        "--physiology", type=float, default=0.0, help="rms of changes from image to image, .07"
    )
    parser.add_argument("--physiology-width", type=float, default=2.0, help="voxels; 0: each on its own")
    parser.add_argument("--g-factor", action="store_true", help="thermal noise varies up to twofold")
    parser.add_argument("--splits", type=int, default=4, help="of the volunteers' images, up to 10; 0: none")
    parser.add_argument("--out", type=Path, help="Markdown file; needed for trials")
    parser.add_argument("--table", type=Path, help="file of everything, tab-separated")
    parser.add_argument("--quick", action="store_true", help="one seed, one SNR, single slices")
    chosen = parser.parse_args()
    usual = parser.parse_args([])
    chosen.full = all(
        getattr(chosen, n) == getattr(usual, n) for n in vars(usual) if n not in ("out", "table")
    )
    if chosen.quick:
        chosen.seeds, chosen.splits = (0,), min(chosen.splits, 1)
    return chosen


def draw(name: str, seed: int, quick: bool) -> Phantom:
    """Return a phantom; a trial has one slice."""
    return partial(PHANTOMS[name], **({"slices": 1} if quick and name != "ivim" else {}))(seed)


def fit_all(
    phantom: Phantom, scan: Noisy, rows: tuple[Row, ...], known: bool
) -> tuple[dict[str, Answer], list[str]]:
    """Return what rows answer, what they say of it, and why others do not."""
    answers, said = {}, []
    for row in rows:
        noise = scan.noise if known or row.told else None
        begin = time.process_time()
        try:
            result = row.fit(phantom, scan.images, noise)
        except InputError as error:
            said.append(f"{row.name} failed: {str(error)[:LONGEST_REASON]} ...")
            continue
        answers[row.name] = Answer(result, time.process_time() - begin)
        said += result.notes
    return answers, said


def measure(name: str, snr: float, chosen: argparse.Namespace) -> Section:
    """Return the scores of a phantom at an SNR over all seeds."""
    scores, phantom = Scores(), None
    notes: dict[str, None] = {}
    voxels: list[str] = []
    for seed in chosen.seeds:
        phantom = draw(name, seed, chosen.quick)
        scan = noisy(
            phantom,
            snr,
            seed,
            physiology=chosen.physiology,
            physiology_width=chosen.physiology_width,
            g_factor=chosen.g_factor,
        )
        rows = tuple(r for r in ROWS if r.serves(phantom) and wanted(r, chosen))
        answers, said = fit_all(phantom, scan, rows, chosen.noise == "known")
        notes = notes or dict.fromkeys(said)
        voxels.append(str(int(phantom.mask.sum())))
        add(scores, phantom, answers, BASE, {row.name for row in rows if row.partial})
    assert phantom is not None
    title = f"{name}, SNR {snr:g}"
    seen = f"Seeds {', '.join(map(str, chosen.seeds))}; {', '.join(voxels)} voxels"
    return Section(title, seen, phantom.scored, phantom.headline, tuple(scores.seconds), scores, tuple(notes))


def wanted(row: Row, chosen: argparse.Namespace) -> bool:
    return chosen.rows is None or row.name == BASE or row.name in chosen.rows


def noise_words(chosen: argparse.Namespace) -> str:
    """Describe what the images scatter by, and who knows it."""
    words = ["thermal (Rician in magnitudes)"]
    if chosen.g_factor:
        words.append("varying smoothly up to twofold (g-factor)")
    if chosen.physiology:
        smooth = (
            f"smooth over {chosen.physiology_width:g} voxels" if chosen.physiology_width else "in every voxel"
        )
        words.append(f"and changes of {chosen.physiology:.0%} rms from image to image, {smooth}")
    return f"{', '.join(words)}; {'told' if chosen.noise == 'known' else 'estimated by each row'}"


def main() -> int:
    chosen, begin = arguments(), time.process_time()
    out = chosen.out or (RESULTS if chosen.full else None)
    sections, lines = [], []
    try:
        for name in chosen.techniques:
            for snr in chosen.snr or (SNR[name][1:2] or SNR[name] if chosen.quick else SNR[name]):
                sections.append(measure(name, snr, chosen))
                lines += markdown(sections[-1])
        if chosen.splits:
            rows = {n: r for n, r in INVIVO_ROWS.items() if chosen.rows is None or n in (BASE, *chosen.rows)}
            lines += repeatability(rows, chosen.splits)
    except MissingDataError as error:
        print(f"tissue: {error}", file=sys.stderr)
        return 1
    took = time.process_time() - begin
    errors = "over seeds" if len(chosen.seeds) >= 5 else "of independent voxels"
    head = INTRODUCTION.format(errors=errors, noise=noise_words(chosen))
    version = f"bids_qmri {bids_qmri.__version__}, numpy {np.__version__}"
    foot = f"{version}; one thread of {platform.machine()}, {took:.0f} CPU-s in all."
    text = "\n".join([head, *summary(sections), *lines, foot, ""])
    if out is None:
        print(text)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    if chosen.table is not None:
        chosen.table.write_text("\n".join(table(sections)) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
