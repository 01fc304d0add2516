"""What neighbours gain and cost: `local` on phantoms of tissue beside an earlier build, and cut masks.

Run as ``python -m benchmarks.tissue_local EARLIER``, the folder of an earlier build, from the folder that
holds ``benchmarks``; writes ``benchmarks/results/tissue_local.md`` (some four minutes on one core). Lesion
contrast, edges and vessels stand in ``tissue.md``.
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
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

import bids_qmri
from benchmarks.earlier_build import Fitted, fit_by
from benchmarks.tissue_base import BoolArray, Noise, Noisy, Phantom, noisy
from benchmarks.tissue_phantoms import PHANTOMS
from benchmarks.tissue_report import SHOWN
from benchmarks.tissue_rows import as_app
from bids_qmri.catalogue import find_entry
from bids_qmri.estimators.base import FitResult
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "tissue_local.md"

CASES = {"ivim": 20.0, "vfa": 40.0, "dce": 15.0, "noddi-s1": 20.0}
"""SNR by phantom."""

AWAY = 3
"""Voxels from a cut beyond which no voxel has lost a neighbour in one round."""

INTRODUCTION = """# Neighbours: gain, safety, cost

`benchmarks/tissue_local.py`, the phantoms of `tissue.md`, seeds {seeds}. Noise is thermal. `local` and `ncde`
of this build estimate it; the earlier build, commit {commit}, is told it, and takes the limits of its command
line.

"""

GAIN = """## Mean squared errors over those of the earlier build's `ncde`

± is one standard error of independent voxels; NDI and ODI where FWF is below .5.
"""

CUT = """## Masks that are cut

`local` with the noise told. A third: the mask is the middle third of the columns of what it was; rms of the
change in units of the sd, over all voxels of the third and over those more than {away} voxels from a cut.
Tissue: the largest tissue is taken out, or all others; the largest change of the mean of a region of more
than 50 voxels that is left, of all seeds and both ways (and the region).
"""

COST = """## Processor seconds a phantom

Over the `bayes` of the earlier build, which has none for NODDI: there, over the `bayes` of this one.
"""


@dataclass(frozen=True, eq=False)
class Case:
    """A phantom, its scan, and what has been made of it: noise is estimated here, told to the earlier."""

    phantom: Phantom
    scan: Noisy
    local: FitResult
    ncde: FitResult
    seconds: float
    old: Fitted
    bayes_seconds: float


def case(name: str, snr: float, seed: int, earlier: Path) -> Case:
    phantom = PHANTOMS[name](seed)
    scan = noisy(phantom, snr, seed)
    ncde = as_app(phantom, scan.images, None, label="ncde")
    begin = time.process_time()
    local = as_app(phantom, scan.images, None, label="local")
    seconds = time.process_time() - begin
    given = phantom.voxels(scan.signal), phantom.protocol, scan.noise.floor
    old = fit_by(earlier, phantom.model, "ncde", *given)
    if phantom.model == "noddi":
        begin = time.process_time()
        as_app(phantom, scan.images, None, label="bayes")
        bayes = time.process_time() - begin
    else:
        bayes = float(fit_by(earlier, phantom.model, "bayes", *given).seconds.min())
    return Case(phantom, scan, local, ncde, seconds, old, bayes)


def gain_table(cases: dict[str, list[Case]]) -> Iterator[str]:
    yield "| phantom | parameter | local ÷ earlier ncde | ncde ÷ earlier ncde | local ÷ ncde |"
    yield "|---|---|---|---|---|"
    for name, made in cases.items():
        for parameter in made[0].phantom.scored:
            errors = np.concatenate([_errors(one, parameter) for one in made], axis=1)
            cells = [_ratio(errors[i], errors[j]) for i, j in ((0, 2), (1, 2), (0, 1))]
            symbol = SHOWN[parameter][0].split(" (")[0]
            yield f"| {name}, SNR {CASES[name]:g} | {symbol} | {' | '.join(cells)} |"


def _errors(one: Case, parameter: str) -> FloatArray:
    """Return squared errors of `local`, `ncde` and the earlier `ncde`, (3, V), where all answer."""
    phantom = one.phantom
    where = phantom.voxels(phantom.regions.get(phantom.headline.get(parameter, ""), phantom.mask))
    truth = phantom.voxels(phantom.truth[parameter])
    maps = (one.local.maps, one.ncde.maps, one.old.maps)
    squares = np.stack([(found[parameter] - truth) ** 2 for found in maps])
    return np.asarray(squares[:, where & np.all(np.isfinite(squares), axis=0)])


def _ratio(ours: FloatArray, theirs: FloatArray) -> str:
    ratio = ours.mean() / theirs.mean()
    return f"{ratio:.2f} ± {np.std(ours - ratio * theirs) / theirs.mean() / np.sqrt(ours.size):.2f}"


def cut_table(cases: dict[str, list[Case]]) -> Iterator[str]:
    yield "| phantom | parameter | a third: all, sd | a third: away from cuts, sd | tissue: means |"
    yield "|---|---|---|---|---|"
    for name, made in cases.items():
        cuts = [_third(one) for one in made]
        halves = [half for one in made for half in _halves(one)]
        for parameter in made[0].phantom.scored:
            near, far = (
                np.sqrt(np.mean(np.concatenate([cut[parameter][i] for cut in cuts]) ** 2)) for i in (0, 1)
            )
            largest, region = max(half[parameter] for half in halves)
            symbol = SHOWN[parameter][0].split(" (")[0]
            yield f"| {name} | {symbol} | {near:.2f} | {far:.2f} | {largest:.1%} ({region}) |"


def _within(one: Case, keep: BoolArray) -> FitResult:
    """Return what `local` makes of the voxels of a smaller mask, whose noise is told."""
    inside = one.phantom.voxels(keep)
    noise = Noise(one.scan.noise.floor[inside], one.scan.noise.scatter[inside])
    return as_app(replace(one.phantom, mask=keep), one.scan.images, noise, label="local")


def _third(one: Case) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return changes over sd by parameter: of all voxels, and of those away from a cut."""
    mask = one.phantom.mask
    columns = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last = (columns[0] + np.array([1, 2]) / 3 * np.ptp(columns)).round().astype(int)
    keep = mask.copy()
    keep[:first], keep[last:] = False, False
    away = np.asarray(distance_transform_edt(~(mask & ~keep)))[keep] > AWAY
    whole, part = _within(one, mask), _within(one, keep)
    inside = one.phantom.voxels(keep)
    found = {}
    for name in one.phantom.scored:
        change = (part.maps[name] - whole.maps[name][inside]) / whole.sd[name][inside]
        usable = np.isfinite(change)
        found[name] = change[usable], change[usable & away]
    return found


def _halves(one: Case) -> Iterator[dict[str, tuple[float, str]]]:
    """Yield, for both halves of the tissues, the largest change of a mean by parameter, and where."""
    phantom, whole = one.phantom, _within(one, one.phantom.mask)
    special = {"lesion", "vessel", "edge", "matter"}
    tissues = {n: m for n, m in phantom.regions.items() if n not in special and m.any()}
    largest = max(tissues, key=lambda n: int(tissues[n].sum()))
    for keep in (tissues[largest], phantom.mask & ~tissues[largest]):
        part, inside = _within(one, keep), phantom.voxels(keep)
        found = {}
        for name in phantom.scored:
            changes = [(0.0, "")]
            for region, where in tissues.items():
                of = phantom.voxels(where)[inside]
                if of.sum() > 50 and not (name in phantom.headline and region == "fluid"):
                    before, after = whole.maps[name][inside][of], part.maps[name][of]
                    changes.append((abs(float(np.nanmean(after) / np.nanmean(before) - 1)), region))
            found[name] = max(changes)
        yield found


def cost_table(cases: dict[str, list[Case]]) -> Iterator[str]:
    yield "| phantom | local | bayes | ratio |"
    yield "|---|---|---|---|"
    for name, made in cases.items():
        local, bayes = (np.mean([getattr(one, n) for one in made]) for n in ("seconds", "bayes_seconds"))
        has = "" if "bayes" in find_entry(made[0].phantom.model)[1].estimators else " (none)"
        yield f"| {name} | {local:.2f} | {bayes:.2f}{has} | {local / bayes:.1f} |"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("earlier", type=Path, help="folder of the earlier build")
    parser.add_argument("--commit", default="51ac61a", help="what the earlier build is called")
    parser.add_argument("--techniques", nargs="+", choices=tuple(CASES), default=tuple(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102], help="below 100: for tuning")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked, begin = parser.parse_args(), time.process_time()
    earlier = asked.earlier.resolve()
    cases = {n: [case(n, CASES[n], seed, earlier) for seed in asked.seeds] for n in asked.techniques}
    lines = [INTRODUCTION.format(seeds=asked.seeds, commit=asked.commit)]
    lines += [GAIN, *gain_table(cases), "", CUT.format(away=AWAY), *cut_table(cases), ""]
    lines += [COST, *cost_table(cases), ""]
    foot = (
        f"bids_qmri {bids_qmri.__version__}, numpy {np.__version__}; {time.process_time() - begin:.0f} CPU-s."
    )
    asked.out.write_text("\n".join([*lines, foot, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
