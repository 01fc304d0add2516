"""A prior that two volunteers teach, used on the third: D and f of liver and spleen by three priors.

Run as ``python -m benchmarks.study_prior`` from the folder that holds ``benchmarks``, with the shared data;
writes ``benchmarks/results/study_prior.md`` (a minute on one core). No truth is known.
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS and ONNX Runtime read these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np

import bids_qmri
from benchmarks.tissue_base import BoolArray
from benchmarks.tissue_geometry import shared_data, volunteer
from benchmarks.tissue_invivo import VOLUNTEERS

RESULTS = Path(__file__).parent / "results" / "study_prior.md"
ORGANS = ("liver", "spleen")
ESTIMATORS = ("bayes", "ncde")
PRIORS = ("box", "scan", "study")
SCALE = {"d": 1e3, "f": 1.0}

INTRODUCTION = """# A prior that two volunteers teach, used on the third

`benchmarks/study_prior.py`: `bids_qmri-train prior --model ivim` from two of sub-ivim1, 2 and 3, then
`bids_qmri ... --models ivim --estimators lsq bayes ncde` on the third with `--prior FILE` (study), beside
`--prior box` and `--prior scan` (the default, which the scan itself teaches). Masks of the body as they come
with the data. Medians over all voxels of an organ, D in 1e-3 mm²/s, and half of the distance between their
quartiles; in brackets the share of voxels in which the data determine the parameter, as the estimator says.

| volunteer | organ | parameter | lsq | estimator | box | scan | study |
|---|---|---|---|---|---|---|---|
"""


def fit(out: Path, number: int, prior: str, estimators: tuple[str, ...]) -> None:
    """Run one volunteer with a prior."""
    data = shared_data() / "bids-real"
    command = [sys.executable, "-m", "bids_qmri", str(data), str(out), "participant"]
    command += ["--participant-label", f"ivim{number}", "--models", "ivim", "--estimators", *estimators]
    command += ["-d", f"masks={data / 'derivatives' / 'rois'}", "--prior", prior, "--nprocs", "1"]
    command += ["-w", str(out.parent / f"work-{out.name}")]
    subprocess.run(command, check=True, capture_output=True)


def learn(file: Path, left_out: int) -> str:
    """Learn a prior from the others, and return the file without its comments."""
    data = shared_data() / "bids-real"
    labels = [f"ivim{number}" for number in VOLUNTEERS if number != left_out]
    command = [sys.executable, "-m", "bids_qmri.cli.train", "prior", "--bids", str(data), "--model", "ivim"]
    command += ["-d", f"masks={data / 'derivatives' / 'rois'}", "--participant-label", *labels]
    subprocess.run([*command, "--output", str(file)], check=True, capture_output=True)
    lines = file.read_text(encoding="utf-8").splitlines()
    return " ".join(line for line in lines if line and not line.startswith("#"))


def cell(out: Path, number: int, inside: BoolArray, parameter: str, label: str) -> str:
    """Return median, spread and determined share of an organ."""
    name = f"sub-ivim{number}"
    found = {}
    for end in ("", "Determined"):
        file = f"{name}_model-ivim_param-{parameter}_desc-{label}{end}_dwimap.nii.gz"
        found[end] = nib.load(out / name / "dwi" / file).get_fdata().reshape(inside.shape)[inside]
    values = found[""][np.isfinite(found[""])] * SCALE[parameter]
    lower, middle, upper = np.percentile(values, (25, 50, 75))
    return f"{middle:.3g} ± {(upper - lower) / 2:.2g} ({np.mean(found['Determined'] > 0):.0%})"


def table(folders: dict[str, Path], number: int) -> Iterator[str]:
    """Yield a line per organ, parameter and estimator of one volunteer."""
    for organ in ORGANS:
        inside = volunteer(number).outlines.get(organ)
        if inside is None:
            continue
        for parameter, symbol in (("d", "D"), ("f", "f")):
            for label in ESTIMATORS:
                cells = [cell(folders[prior], number, inside, parameter, label) for prior in PRIORS]
                base = cell(folders["box"], number, inside, parameter, "lsq")
                first = [f"sub-ivim{number}", organ, symbol, base, label]
                yield f"| {' | '.join([*first, *cells])} |"


def main() -> None:
    """Leave each volunteer out once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked, lines, learned = parser.parse_args(), [INTRODUCTION.rstrip("\n")], []
    with TemporaryDirectory() as scratch:
        for number in VOLUNTEERS:
            file = Path(scratch) / f"prior-{number}.toml"
            learned.append(f"* for sub-ivim{number}: `{learn(file, number)}`")
            folders = {prior: Path(scratch) / f"{prior}-{number}" for prior in PRIORS}
            for prior, folder in folders.items():
                fit(folder, number, str(file) if prior == "study" else prior, ("lsq", *ESTIMATORS))
            lines += table(folders, number)
    lines += ["", "Priors of the study, by who was left out:", "", *learned, ""]
    foot = f"bids_qmri {bids_qmri.__version__}, numpy {np.__version__}."
    asked.out.write_text("\n".join([*lines, foot, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
