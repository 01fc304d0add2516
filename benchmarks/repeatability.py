"""Repetitions of three volunteers as two runs: how well maps of D and f repeat, per organ and estimator.

Run as ``python -m benchmarks.repeatability`` from the folder that holds ``benchmarks``, with the shared data;
writes ``benchmarks/results/repeatability.md`` (a minute on one core).
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS and ONNX Runtime read these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np

import bids_qmri
from benchmarks.tissue_geometry import shared_data, volunteer
from benchmarks.tissue_invivo import ORGANS, VOLUNTEERS
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "repeatability.md"
ESTIMATORS = ("lsq", "ncde", "bayes")
PARAMETERS = {"d": "D", "f": "f"}

INTRODUCTION = """# Repeatability of D and f in three volunteers

`benchmarks/repeatability.py`: each of the 60 images of sub-ivim1, 2 and 3 goes to one of two runs, every
second image of a b-value to the second run (6 images at b = 0, then 3 of 6 at each b-value, whose nominal
directions differ between runs). Then
`bids_qmri ... participant group --models ivim --estimators lsq ncde bayes` with the regions and the masks of
the body that come with the data, defaults otherwise. Images of both runs alternate in one series: this is the
least variation that a study can expect. `-`: fewer than three volunteers have a voxel that the data determine
in both runs.

wCV of medians: of the median over determined voxels of an organ, from `group_ivim_repeatability.tsv`, with
its interval of 95 %; that of three people is wide. wCV in voxels: square root of the mean square of the map
`desc-...WcvRuns` over voxels of the organ that both runs determine, of all volunteers, and the share that
these are of the organ.

| organ | parameter | estimator | wCV of medians (%) | wSD of medians | wCV in voxels (%) | both determine |
|---|---|---|---|---|---|---|
"""


def write_runs(root: Path) -> None:
    """Write the dataset of two runs."""
    source = shared_data() / "bids-real"
    root.mkdir()
    description = {"Name": "Two runs of repetitions", "BIDSVersion": "1.11.1"}
    (root / "dataset_description.json").write_text(json.dumps(description), encoding="utf-8")
    for number in VOLUNTEERS:
        name = f"sub-ivim{number}"
        stem = source / name / "dwi" / f"{name}_dwi"
        image = nib.load(f"{stem}.nii.gz")
        bvals, bvecs = (np.loadtxt(f"{stem}.{ending}") for ending in ("bval", "bvec"))
        second = np.zeros(bvals.size, dtype=bool)
        for b in np.unique(bvals):
            second[np.flatnonzero(bvals == b)[1::2]] = True
        folder = root / name / "dwi"
        folder.mkdir(parents=True)
        for run, chosen in (("1", ~second), ("2", second)):
            part = folder / f"{name}_run-{run}_dwi"
            data = np.asanyarray(image.dataobj)[..., chosen]
            nib.save(nib.Nifti1Image(data, image.affine, image.header), f"{part}.nii.gz")
            np.savetxt(f"{part}.bval", bvals[chosen][None], fmt="%g")
            np.savetxt(f"{part}.bvec", bvecs[:, chosen], fmt="%.7f")
            Path(f"{part}.json").write_text(stem.with_suffix(".json").read_text(), encoding="utf-8")


def run(data: Path, out: Path) -> None:
    """Fit both runs and compare them."""
    rois = shared_data() / "bids-real" / "derivatives" / "rois"
    command = [sys.executable, "-m", "bids_qmri", str(data), str(out), "participant", "group"]
    command += ["--models", "ivim", "--estimators", *ESTIMATORS, "-d", f"rois={rois}", f"masks={rois}"]
    command += ["--nprocs", "1", "-w", str(out.parent / "work")]
    subprocess.run(command, check=True, capture_output=True)


def table(out: Path) -> Iterator[str]:
    """Yield a line per organ, parameter and estimator."""
    with (out / "group_ivim_repeatability.tsv").open(encoding="utf-8") as stream:
        lines = {
            (row["region"], row["map"], row["estimator"]): row
            for row in csv.DictReader(stream, delimiter="\t")
            if row["repeats"] == "run"
        }
    for organ in ORGANS:
        for parameter, symbol in PARAMETERS.items():
            for estimator in ESTIMATORS:
                row = lines.get((organ, parameter, estimator))
                found, voxels = _in_voxels(out, organ, parameter, estimator)
                medians = ["-", "-"] if row is None else [_percent(row), f"{float(row['wsd']):.2g}"]
                variation = f"{100 * np.sqrt(np.mean(found**2)):.1f}" if found.size else "-"
                cells = [organ, symbol, estimator, *medians, variation, f"{found.size / voxels:.0%}"]
                yield f"| {' | '.join(cells)} |"


def _percent(row: dict[str, str]) -> str:
    value, low, high = (100 * float(row[name]) for name in ("wcv", "wcv_low", "wcv_high"))
    return f"{value:.1f} ({low:.1f} to {high:.0f})"


def _in_voxels(out: Path, organ: str, parameter: str, estimator: str) -> tuple[FloatArray, int]:
    """Return wCV of the voxels of an organ that both runs determine, and how many voxels it has."""
    found, voxels = [], 0
    for number in VOLUNTEERS:
        inside = volunteer(number).outlines.get(organ)
        if inside is None:
            continue
        name = f"sub-ivim{number}"
        file = f"{name}_model-ivim_param-{parameter}_desc-{estimator}WcvRuns_dwimap.nii.gz"
        values = nib.load(out / name / "dwi" / file).get_fdata().reshape(inside.shape)[inside]
        found.append(values[np.isfinite(values)])
        voxels += values.size
    return np.concatenate(found), voxels


def main() -> None:
    """Write the runs, compare them, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    with TemporaryDirectory() as scratch:
        data, out = Path(scratch) / "data", Path(scratch) / "out"
        write_runs(data)
        run(data, out)
        lines = [INTRODUCTION.rstrip("\n"), *table(out), ""]
    foot = f"wSD of D in mm²/s. bids_qmri {bids_qmri.__version__}, numpy {np.__version__}."
    asked.out.write_text("\n".join([*lines, foot, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
