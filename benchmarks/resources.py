"""Peak memory on a large series and processor time on a small one, of the whole command as a process.

Run ``python benchmarks/resources.py``; writes benchmarks/results/resources.md. Needs 1 GB of disk.
"""

from __future__ import annotations

import gzip
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_qmri import __version__
from bids_qmri.models.ivim import IVIM
from bids_qmri.models.vfa import VFA
from bids_qmri.protocol import DiffusionProtocol, VfaProtocol

LARGE = (140, 140, 80, 102)
SMALL = (64, 64, 20)
B_VALUES = (0, 10, 20, 30, 40, 50, 75, 100, 150, 200, 250, 300, 400, 500, 600, 700, 800)
SEED = 20261


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, make in (("large IVIM series", make_large), ("small VFA series", make_small)):
            bids = folder / title.replace(" ", "-")
            what = make(bids)
            for attempt in range(1 if make is make_large else 3):
                rows.append((f"{title}, run {attempt + 1}", what, *measure(bids, folder)))
    lines = [
        "# Resources of one run of the command",
        "",
        f"bids_qmri {__version__}, Python {platform.python_version()}, numpy {np.__version__}; one process, "
        "one thread, default estimators (least squares and network), page included.",
        "",
        "| run | input | peak RSS, MB | processor time, s | wall time, s |",
        "|---|---|---|---|---|",
        *(f"| {t} | {w} | {rss:.0f} | {cpu:.1f} | {wall:.1f} |" for t, w, rss, cpu, wall in rows),
        "",
        "Repeat: `python benchmarks/resources.py`",
    ]
    target = Path(__file__).parent / "results" / "resources.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def measure(bids: Path, folder: Path) -> tuple[float, float, float]:
    """Run the command on a dataset; return peak RSS in MB, processor seconds and wall seconds."""
    code = (
        "import resource, subprocess, sys, time; t = time.time(); "
        "r = subprocess.run(sys.argv[1:], capture_output=True, text=True); "
        "u = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(r.returncode, u.ru_maxrss / 1e3, u.ru_utime + u.ru_stime, time.time() - t)"
    )
    command = [sys.executable, "-m", "bids_qmri", str(bids), str(folder / f"out-{bids.name}"), "participant"]
    command += ["--nprocs", "1", "--work-dir", str(folder / "work")]
    result = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True
    )
    status, rss, cpu, wall = result.stdout.split()
    if status != "0":
        raise SystemExit(f"{' '.join(command)} ended with {status}")
    return float(rss), float(cpu), float(wall)


def make_large(bids: Path) -> str:
    """Write one IVIM series: an ellipsoid of tissue in noise, volume after volume."""
    rng = np.random.default_rng(SEED)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in LARGE[:3]), indexing="ij"))
    inside = np.sum((grid / 0.9) ** 2, axis=0) < 1
    truth = np.array([1.2e-3, 0.03, 0.15, 800.0])[:, None]
    bvals = np.repeat(B_VALUES, LARGE[3] // len(B_VALUES))
    signal = IVIM.signal(truth, DiffusionProtocol(bvals))[:, 0]
    folder = bids / "sub-large" / "dwi"
    folder.mkdir(parents=True)
    header = nib.Nifti1Image(np.zeros((1, 1, 1, 1), np.int16), np.diag([2, 2, 2, 1])).header.copy()
    header.set_data_shape(LARGE)
    header["vox_offset"] = 352
    with gzip.open(folder / "sub-large_dwi.nii.gz", "wb", compresslevel=1) as stream:
        stream.write(header.binaryblock + b"\0\0\0\0")
        for value in signal:
            noisy = np.hypot(
                inside * value + rng.normal(0, 20, inside.shape), rng.normal(0, 20, inside.shape)
            )
            stream.write(np.round(noisy).astype(np.int16).tobytes(order="F"))
    (folder / "sub-large_dwi.bval").write_text(" ".join(map(str, bvals)) + "\n")
    directions = np.zeros((3, bvals.size))
    directions[0] = bvals > 0
    (folder / "sub-large_dwi.bvec").write_text(
        "\n".join(" ".join(map(str, row)) for row in directions) + "\n"
    )
    describe(bids)
    return f"{' x '.join(map(str, LARGE))} int16 .nii.gz, {inside.sum():,} voxels of tissue"


def make_small(bids: Path) -> str:
    """Write three flip angles of a uniform object."""
    rng = np.random.default_rng(SEED)
    angles = (3, 10, 20)
    signal = VFA.signal(np.array([[1.2], [1000.0]]), VfaProtocol(np.deg2rad(angles), 0.015))[:, 0]
    folder = bids / "sub-small" / "anat"
    folder.mkdir(parents=True)
    for index, (angle, value) in enumerate(zip(angles, signal, strict=True), start=1):
        image = nib.Nifti1Image(rng.normal(value, 2, SMALL).astype(np.float32), np.diag([2, 2, 2, 1]))
        stem = folder / f"sub-small_flip-{index}_VFA"
        image.to_filename(f"{stem}.nii.gz")
        fields = {"FlipAngle": angle, "RepetitionTimeExcitation": 0.015, "PulseSequenceType": "SPGR"}
        Path(f"{stem}.json").write_text(json.dumps(fields))
    describe(bids)
    return f"{' x '.join(map(str, SMALL))}, {len(angles)} flip angles"


def describe(bids: Path) -> None:
    fields = {"Name": "benchmark", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    (bids / "dataset_description.json").write_text(json.dumps(fields))


if __name__ == "__main__":
    main()
