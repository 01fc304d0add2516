"""Organs of three volunteers through the command line: posterior means and networks beside least squares.

Run as ``python -m benchmarks.volunteers`` from the folder that holds ``benchmarks``, with the shared data;
writes ``benchmarks/results/volunteers.md`` (less than a minute on one core). No truth is known: what is
compared is whether estimators agree where both say that the data determine a parameter.
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS and ONNX Runtime read these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
from scipy.ndimage import distance_transform_edt

import bids_qmri
from benchmarks.tissue_base import BoolArray
from benchmarks.tissue_geometry import Volunteer, shared_data, volunteer
from benchmarks.tissue_invivo import ORGANS, VOLUNTEERS
from bids_qmri.estimation.tissue import tissue_mask
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "volunteers.md"

BASE, LABELS = "lsq", ("mle", "map", "bayes", "ncde")
FAR = 10
"""Voxels from what the automatic mask holds beyond which there is air."""

INTRODUCTION = """# Liver, spleen and pancreas of three volunteers

`benchmarks/volunteers.py`: `bids_qmri ... --models ivim --estimators lsq mle map bayes ncde` on sub-ivim1, 2
and 3, defaults otherwise, once with the masks of the body that come with the data (`-d masks=`) and once with
the automatic mask. Of an organ as drawn: voxels, the share in which `lsq` and the estimator say that D is
determined, and over the voxels in which both do the median of D over that of `lsq`; the same for f, as a
difference. D of `lsq` in 1e-3 mm²/s. Organs of fewer than ten voxels are left out.

"""

FLOOR = """## Floor of the noise

As found, and Rayleigh level of air (root mean square of magnitudes over sqrt 2) more than {far} voxels from
what the automatic mask holds: median over the four quarters of the image, and their range.

| volunteer | floor, own mask | floor, automatic mask | air | floors ÷ air |
|---|---|---|---|---|
"""


def run(out: Path, masks: bool) -> None:
    data = shared_data() / "bids-real"
    rois = data / "derivatives" / "rois"
    given = [f"rois={rois}", *([f"masks={rois}"] if masks else [])]
    command = [sys.executable, "-m", "bids_qmri", str(data), str(out), "participant", "--participant-label"]
    command += [f"ivim{number}" for number in VOLUNTEERS]
    command += ["--models", "ivim", "--estimators", BASE, *LABELS, "-d", *given]
    command += ["--nprocs", "1", "-w", str(out.parent / f"work-{out.name}")]
    subprocess.run(command, check=True, capture_output=True)


def read(out: Path, number: int, parameter: str, label: str) -> FloatArray:
    """Return a map of the series as drawn, (x, y, 1)."""
    name = f"sub-ivim{number}"
    file = out / name / "dwi" / f"{name}_model-ivim_param-{parameter}_desc-{label}_dwimap.nii.gz"
    values = nib.load(file).get_fdata()
    return np.asarray(values.reshape((*values.shape[:2], 1)))


def table(out: Path) -> Iterator[str]:
    yield f"| organ | voxels | D of lsq | {' | '.join(f'{label}: D, f' for label in LABELS)} |"
    yield "|" + "---|" * (len(LABELS) + 3)
    for number in VOLUNTEERS:
        outlines = volunteer(number).outlines
        for organ in ORGANS:
            inside = outlines.get(organ)
            if inside is None or inside.sum() < 10:
                continue
            cells = [_cell(out, number, inside, label) for label in LABELS]
            known = inside & (read(out, number, "d", f"{BASE}Determined") > 0)
            level = 1e3 * np.median(read(out, number, "d", BASE)[known])
            share = f"{level:.2f}, {known.sum() / inside.sum():.0%}"
            yield f"| sub-ivim{number} {organ} | {inside.sum()} | {share} | {' | '.join(cells)} |"


def _cell(out: Path, number: int, inside: BoolArray, label: str) -> str:
    """Return the share of determined D, the ratio of D and the difference of f, of one estimator."""
    found = {}
    for name in ("d", "f"):
        known = [inside & (read(out, number, name, f"{one}Determined") > 0) for one in (BASE, label)]
        both = known[0] & known[1]
        medians = [np.median(read(out, number, name, one)[both]) for one in (BASE, label)]
        found[name] = known[1].sum() / inside.sum(), medians
    ratio, difference = found["d"][1][1] / found["d"][1][0], np.subtract(*found["f"][1][::-1])
    marks = ["**" if bad else "" for bad in (abs(ratio - 1) > 0.15, abs(difference) > 0.05)]
    return f"{found['d'][0]:.0%} {marks[0]}{ratio:.2f}{marks[0]}, {marks[1]}{difference:+.3f}{marks[1]}"


def floors(folders: list[Path]) -> Iterator[str]:
    for number in VOLUNTEERS:
        found = [_floor(folder, number) for folder in folders]
        quarters = _air(volunteer(number))
        level = float(np.median(quarters))
        ratios = ", ".join(f"{floor / level:.2f}" for floor in found)
        cells = " | ".join(f"{floor:.2f}" for floor in found)
        air = f"{level:.2f} ({min(quarters):.2f}-{max(quarters):.2f})"
        yield f"| sub-ivim{number} | {cells} | {air} | {ratios} |"


def _floor(out: Path, number: int) -> float:
    name = f"sub-ivim{number}"
    file = out / name / "dwi" / f"{name}_model-ivim_param-d_desc-ncde_dwimap.json"
    return float(json.loads(file.read_text(encoding="utf-8"))["NoiseFloor"])


def _air(who: Volunteer) -> list[float]:
    """Return the Rayleigh level of the air of the four quarters of the image."""
    mean = who.images.mean(axis=-1)
    held = tissue_mask(mean, mean > 0, who.images.shape[-1]) | who.body
    air = distance_transform_edt(~held) > FAR
    columns, rows = np.indices(air.shape)[:2]
    left, front = columns < air.shape[0] / 2, rows < air.shape[1] / 2
    quarters = [air & side & end for side in (left, ~left) for end in (front, ~front)]
    levels = [np.sqrt(np.mean(who.images[quarter] ** 2) / 2) for quarter in quarters if quarter.sum() > 20]
    return [float(level) for level in levels]


def main() -> None:
    """Run, compare and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked, lines = parser.parse_args(), [INTRODUCTION]
    with TemporaryDirectory() as scratch:
        folders = [Path(scratch) / name for name in ("own", "automatic")]
        for folder in folders:
            run(folder, folder.name == "own")
            lines += [f"## {folder.name.capitalize()} mask\n", *table(folder), ""]
        lines += [FLOOR.format(far=FAR).rstrip(), *floors(folders), ""]
    foot = f"bids_qmri {bids_qmri.__version__}, numpy {np.__version__}."
    asked.out.write_text("\n".join([*lines, foot, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
