"""Speed and error of the NODDI fits beside AMICO, an outside program: same voxels, one thread, in turn.

Run as ``python benchmarks/noddi_amico.py SCHEMES --amico PYTHON`` with the folder of the schemes
(``noddi_s1.bval`` ...) and the interpreter of an environment that AMICO was installed into
(``python -m venv env && env/bin/pip install dmri-amico``). Writes ``benchmarks/results/noddi_amico.md``.
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS reads these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from noddi_speed import ESTIMATORS, VOXELS, load, simulate, time_fit

import bids_qmri
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "noddi_amico.md"
CASES = (("noddi_s1", 25), ("ukb_like", 25), ("hcp_like", 20))
ROUNDS = 3

OUTSIDE = """
import sys, time
from pathlib import Path
import amico, nibabel, numpy as np
folder = Path(sys.argv[1])
given = np.load(folder / "given.npz")
signal = given["signal"]
grid = (len(signal), 1, 1)
nibabel.save(nibabel.Nifti1Image(signal.reshape(*grid, -1), np.eye(4)), folder / "dwi.nii.gz")
nibabel.save(nibabel.Nifti1Image(np.ones(grid, np.uint8), np.eye(4)), folder / "mask.nii.gz")
np.savetxt(folder / "dwi.bval", given["bvals"][None], fmt="%g")
np.savetxt(folder / "dwi.bvec", given["bvecs"].T, fmt="%.8f")
amico.setup()
table = [str(folder / name) for name in ("dwi.bval", "dwi.bvec", "dwi.scheme")]
amico.util.fsl2scheme(*table, bStep=100)
fit = amico.Evaluation(str(folder), ".")
fit.load_data("dwi.nii.gz", "dwi.scheme", "mask.nii.gz", b0_thr=0)
fit.set_model("NODDI")
for name in ("nthreads", "BLAS_nthreads"):
    fit.set_config(name, 1)
fit.generate_kernels(regenerate=True)
fit.load_kernels()
spent = []
for _ in range(int(sys.argv[2])):
    begin = time.process_time()
    fit.fit()
    spent.append(time.process_time() - begin)
maps = np.asarray(fit.RESULTS["MAPs"]).reshape(len(signal), -1)
np.savez(folder / "found.npz", seconds=spent, maps=maps, names=fit.model.maps_name, version=amico.__version__)
"""


def by_amico(python: Path, signal: FloatArray, protocol: DiffusionProtocol) -> tuple[float, FloatArray, str]:
    """Return voxels per processor second, NDI, ODI and FWF, (3, V), and the version.

    Its dictionaries are made before; principal directions are part of the time.
    """
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        given = {"signal": signal.astype(np.float32), "bvals": protocol.bvals, "bvecs": protocol.bvecs}
        np.savez(folder / "given.npz", **given)
        command = [str(python), "-c", OUTSIDE, str(folder), "1"]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
        with np.load(folder / "found.npz") as found:
            place = [found["names"].tolist().index(name) for name in ("NDI", "ODI", "FWF")]
            rate = len(signal) / float(found["seconds"].min())
            return rate, found["maps"][:, place].T, str(found["version"])


def lines(schemes: Path, python: Path) -> list[str]:
    """Return the rows of the table, of every scheme: AMICO, then the fits."""
    rows = []
    for name, snr in CASES:
        protocol = load(schemes, name)
        theta, _, signal = simulate(protocol, snr)
        rates: dict[str, list[float]] = {}
        error: dict[str, FloatArray] = {}
        for _ in range(ROUNDS):
            rate, maps, version = by_amico(python, signal, protocol)
            rates.setdefault(f"AMICO {version}", []).append(rate)
            error[f"AMICO {version}"] = maps - theta
            for likelihood, label in zip(ESTIMATORS, ("lsq", "mle"), strict=True):
                rate, found = time_fit(signal, protocol, 1 / snr, likelihood)
                rates.setdefault(label, []).append(rate)
                error[label] = np.array([found.maps[p] for p in ("ndi", "odi", "fwf")]) - theta
        base = np.array(next(iter(rates.values())))
        for label, found in rates.items():
            rmse = " / ".join(f"{x:.3f}" for x in np.sqrt(np.mean(error[label] ** 2, axis=1)))
            ratio = float(np.median(np.array(found) / base))
            cells = (
                name,
                protocol.n_measurements,
                snr,
                label,
                f"{np.median(found):,.0f}",
                f"{ratio:.1f}",
                rmse,
            )
            rows.append(f"| {' | '.join(map(str, cells))} |")
            print(rows[-1], flush=True)
    return rows


HEAD = f"""# NODDI beside AMICO

`benchmarks/noddi_amico.py`: {VOXELS:,} voxels, one thread, processor time; medians of {ROUNDS} rounds in
turn, each the best of 3 runs here and one run of AMICO, whose dictionaries were made before. NDI and ODI are
uniform over their range, FWF from 0 to 0.9, directions over the sphere, noise Rician with the noise level
known to `mle`. Standard deviations are part of the fits here; AMICO is a regularised linear fit of a
dictionary.

| scheme | volumes | SNR | fit | voxels per CPU-s | over AMICO | RMSE NDI / ODI / FWF |
|---|---|---|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("schemes", type=Path, help="folder of schemes")
    parser.add_argument("--amico", type=Path, required=True, help="interpreter that imports amico")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    found = lines(asked.schemes, asked.amico.absolute())
    foot = f"\nbids_qmri {bids_qmri.__version__}, numpy {np.__version__}.\n"
    asked.out.write_text(HEAD + "\n".join(found) + "\n" + foot, encoding="utf-8")


if __name__ == "__main__":
    main()
