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
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_qmri import __version__
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.noddi.model import noddi_signal
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol

LARGE = (140, 140, 80, 102)
SMALL = (64, 64, 20)
VOLUME, SHELLS = (100, 100, 40), (9, 24, 48)
B_VALUES = (0, 10, 20, 30, 40, 50, 75, 100, 150, 200, 250, 300, 400, 500, 600, 700, 800)
SEED = 20261


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, make, attempts, choices in SERIES:
            bids = folder / title.replace(" ", "-")
            what = make(bids)
            for attempt in range(attempts):
                rows.append((f"{title}, run {attempt + 1}", what, *measure(bids, folder, choices)))
    lines = [
        "# Resources of one run of the command",
        "",
        f"bids_qmri {__version__}, Python {platform.python_version()}, numpy {np.__version__}; one process, "
        "default estimators (least squares and network) on one thread, NODDI by the network for any shells "
        "on two; page included.",
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


def measure(bids: Path, folder: Path, choices: Sequence[str]) -> tuple[float, float, float]:
    """Run the command on a dataset; return peak RSS in MB, processor seconds and wall seconds."""
    code = (
        "import resource, subprocess, sys, time; t = time.time(); "
        "r = subprocess.run(sys.argv[1:], capture_output=True, text=True); "
        "u = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(r.returncode, u.ru_maxrss / 1e3, u.ru_utime + u.ru_stime, time.time() - t)"
    )
    command = [sys.executable, "-m", "bids_qmri", str(bids), str(folder / f"out-{bids.name}"), "participant"]
    command += ["--nprocs", "1", "--work-dir", str(folder / "work"), *choices]
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


def make_shells(bids: Path) -> str:
    """Write one two-shell series: neurites in every voxel, every one in another direction."""
    rng = np.random.default_rng(SEED)
    bvals = np.repeat([0.0, 700.0, 2000.0], SHELLS)
    bvecs = np.concatenate([np.zeros((SHELLS[0], 3)), *(spiral(count) for count in SHELLS[1:])])
    count = int(np.prod(VOLUME))
    fibres = rng.normal(size=(count, 3))
    fibres /= np.linalg.norm(fibres, axis=1, keepdims=True)
    ndi, odi, fwf = rng.uniform([[0.2], [0.05], [0.0]], [[0.8], [0.6], [0.5]], (3, count))
    data = np.empty((count, bvals.size), np.int16)
    protocol = DiffusionProtocol(bvals, bvecs)
    for first in range(0, count, 50_000):
        part = slice(first, first + 50_000)
        clean = 800.0 * noddi_signal(ndi[part], odi[part], fwf[part], fibres[part], protocol).T
        data[part] = np.hypot(clean + rng.normal(0, 30, clean.shape), rng.normal(0, 30, clean.shape))
    folder = bids / "sub-shells" / "dwi"
    folder.mkdir(parents=True)
    image = nib.Nifti1Image(data.reshape(*VOLUME, -1), np.diag([-2, 2, 2, 1]))
    image.to_filename(folder / "sub-shells_dwi.nii.gz")
    np.savetxt(folder / "sub-shells_dwi.bval", bvals[None], fmt="%g")
    np.savetxt(folder / "sub-shells_dwi.bvec", bvecs.T, fmt="%.6f")
    describe(bids)
    return f"{' x '.join(map(str, VOLUME))} x {bvals.size} int16 .nii.gz, all of it tissue"


def spiral(count: int) -> np.ndarray:
    """Return unit vectors spread over half a sphere, (count, 3)."""
    z = (np.arange(count) + 0.5) / count
    angle = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    return np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=1)


SERIES = (
    ("large IVIM series", make_large, 1, ()),
    ("small VFA series", make_small, 3, ()),
    ("NODDI series", make_shells, 3, ("--models", "noddi", "--estimators", "ncde", "--omp-nthreads", "2")),
)
"""Title, maker, number of runs and further arguments."""


def describe(bids: Path) -> None:
    fields = {"Name": "benchmark", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    (bids / "dataset_description.json").write_text(json.dumps(fields))


if __name__ == "__main__":
    main()
