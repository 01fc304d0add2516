"""Batched tensor and kurtosis fits against dipy voxel by voxel: CPU time, numbers, coverage of error bars.

Run as ``python benchmarks/tensor.py [--old FOLDER]``; writes ``benchmarks/results/tensor.md`` next to it
(about three minutes). FOLDER holds an earlier build of the package, whose
``bids_qmri.estimators.dipy_tensor`` is compared, too.
"""

from __future__ import annotations

import os

# Before numpy is imported: BLAS reads these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dipy
import numpy as np
from dipy.reconst.dki import DiffusionKurtosisModel
from dipy.reconst.dti import TensorModel

from bids_qmri.estimators.base import FitResult
from bids_qmri.estimators.dipy.measurements import gradient_table
from bids_qmri.estimators.dipy.tensor import Ols, Scheme, TensorFit, Wls
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.dti.model import KURTOSIS, TENSOR, Cumulants
from bids_qmri.units import FloatArray

RESULTS = Path(__file__).parent / "results" / "tensor.md"
REPEATS = 3
SNRS = (20, 30, 50)
COVERED_VOXELS = 10_000

COVERED_SEED = 301
"""Of the tissues and the noise of coverage: held out, deviations were chosen with seeds up to 108."""

ANISOTROPIC = 0.2
"""Fractional anisotropy from which its standard deviation is judged."""

ZERO_SCALE = 0.01
"""Differences of scalars without unit are relative to at least this."""

OLD = """
import sys, time
import numpy as np
from bids_qmri.estimators.dipy_tensor import fit_dki, fit_tensor
from bids_qmri.protocol import DiffusionProtocol
given = np.load(sys.argv[1])
protocol = DiffusionProtocol(given["bvals"], given["bvecs"])
fit = fit_dki if sys.argv[3] == "dki" else fit_tensor
fit(given["signal"][:20], protocol)
spent = []
for _ in range(int(sys.argv[4])):
    start = time.process_time()
    result = fit(given["signal"], protocol)
    spent.append(time.process_time() - start)
np.savez(sys.argv[2], seconds=min(spent), status=result.status, **result.maps)
"""


@dataclass(frozen=True)
class Case:
    """A model with a scheme.

    Parameters
    ----------
    bvals
        Shells in s/mm^2.
    n
        Directions of a shell.
    voxels
        Voxels of the timed fit.
    """

    model: Cumulants
    bvals: tuple[float, ...]
    n: int
    voxels: int

    @property
    def title(self) -> str:
        bvals = ", ".join(f"{b:g}" for b in self.bvals)
        return f"{self.model.name}, b = {bvals}, {self.n} directions each, 6 b0"

    def protocol(self) -> DiffusionProtocol:
        count = 2 * self.n
        z = 1 - (2 * np.arange(self.n) + 1) / count
        angle = np.pi * (1 + 5**0.5) * np.arange(self.n)
        ring = np.sqrt(1 - z**2)
        vectors = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)
        b = np.concatenate([np.zeros(6), *[np.full(self.n, value) for value in self.bvals]])
        return DiffusionProtocol(b, np.concatenate([np.zeros((6, 3)), *[vectors for _ in self.bvals]]))


CASES = (
    Case(TENSOR, (1000,), 30, 20_000),
    Case(TENSOR, (1000,), 60, 20_000),
    Case(KURTOSIS, (1000, 2000), 30, 3_000),
    Case(KURTOSIS, (1000, 2500), 64, 2_000),
)


def tissue(model: Cumulants, voxels: int, seed: int = 0) -> FloatArray:
    """Return parameters, (P, V), of two Gaussian compartments of one direction; S0 is 1."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(voxels, 3, 3)))[0]
    share = rng.uniform(0.25, 0.65, voxels)[:, None, None]
    parts = []
    for axial, radial in (((1.0e-3, 1.7e-3), (0.15e-3, 0.6e-3)), ((1.2e-3, 2.0e-3), (0.6e-3, 1.2e-3))):
        first, second = rng.uniform(*axial, voxels), rng.uniform(*radial, voxels)
        values = np.stack([first, second, second * rng.uniform(0.8, 1.0, voxels)], axis=1)
        parts.append((vectors * values[:, None]) @ vectors.transpose(0, 2, 1))
    return mixed(model, [(share, parts[0]), (1 - share, parts[1])], 0.12)


def crossing(model: Cumulants, voxels: int, seed: int = 0) -> FloatArray:
    """Return parameters, (P, V), of fibres that cross at 30 to 90 degrees and an isotropic compartment."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(voxels, 3, 3)))[0]
    angle = rng.uniform(np.pi / 6, np.pi / 2, voxels)[:, None]
    other = np.cos(angle) * vectors[:, :, 0] + np.sin(angle) * vectors[:, :, 1]
    shares = rng.dirichlet([4, 2, 3], voxels).T[:, :, None, None]
    parts = []
    for along in (vectors[:, :, 0], other):
        axial, radial = (
            rng.uniform(1.4e-3, 2.2e-3, (voxels, 1, 1)),
            rng.uniform(0.2e-3, 0.7e-3, (voxels, 1, 1)),
        )
        parts.append(radial * np.eye(3) + (axial - radial) * along[:, :, None] * along[:, None])
    parts.append(rng.uniform(0.6e-3, 1.3e-3, (voxels, 1, 1)) * np.eye(3))
    return mixed(model, list(zip(shares, parts, strict=True)), 0.08)


def mixed(model: Cumulants, compartments: list[tuple[FloatArray, FloatArray]], within: float) -> FloatArray:
    """Return parameters, (P, V), of shares, (V, 1, 1), and tensors, (V, 3, 3), of compartments.

    Parameters
    ----------
    within
        Isotropic variance in each compartment in um^4/ms^2.
    """
    mean = np.sum([share * part for share, part in compartments], axis=0)
    spread = [(share, part - mean) for share, part in compartments]
    spread.append((np.full((len(mean), 1, 1), within), np.broadcast_to(1e-3 * np.eye(3), mean.shape)))
    w = sum(3 * weight[..., None, None] * np.einsum("vij,vkl->vijkl", part, part) for weight, part in spread)
    theta = []
    for p in model.parameters[:-1]:
        index = ["xyz".index(letter) for letter in p.name[1:]]
        if len(index) == 2:
            theta.append(mean[:, index[0], index[1]])
        else:
            i, j, k, m = index
            theta.append((w[:, i, j, k, m] + w[:, i, k, j, m] + w[:, i, m, j, k]) / 3)
    return np.stack([*theta, np.ones(len(mean))])


def simulate(case: Case, theta: FloatArray, snr: float, seed: int, *, rician: bool) -> FloatArray:
    """Return noisy signals, (V, N), of parameters (P, V)."""
    clean = case.model.signal(theta, case.protocol()).T
    noise = np.random.default_rng(seed).normal(0, 1 / snr, (2, *clean.shape))
    return np.hypot(clean + noise[0], noise[1]) if rician else clean + noise[0]


def cpu(function: Callable[[], Any]) -> float:
    """Return the least CPU time in seconds."""
    function()
    spent = []
    for _ in range(REPEATS):
        start = time.process_time()
        function()
        spent.append(time.process_time() - start)
    return min(spent)


def awkward(signal: FloatArray) -> FloatArray:
    """Put zeros, steps and outliers into some voxels."""
    signal = np.maximum(1000 * signal, 1e-3)
    signal[0::50, -3] = 0.0
    signal[1::100, -8:] = 0.0
    signal[2::100] = np.maximum(np.round(signal[2::100] / 50) * 50, 0.0)
    signal[3::500, -5] *= 100
    signal[:, :6] = np.maximum(signal[:, :6], 1.0)
    return signal


def by_dipy(case: Case, signal: FloatArray) -> tuple[float, float, dict[str, FloatArray]]:
    """Return CPU seconds of dipy's fit, of fit and maps, and the maps."""
    made = TensorModel if case.model is TENSOR else DiffusionKurtosisModel
    model = made(gradient_table(case.protocol()), return_S0_hat=True)
    least = np.min(signal, axis=1, initial=np.inf, where=signal > 0, keepdims=True)
    raised = np.maximum(signal, least)

    def maps() -> dict[str, FloatArray]:
        fit = model.fit(raised)
        values = {p.name: getattr(fit, p.name) for p in case.model.derived}
        return {name: np.asarray(v() if callable(v) else v) for name, v in values.items()} | {
            "s0": np.reshape(fit.model_S0, -1)
        }

    return cpu(lambda: model.fit(raised)), cpu(maps), maps()


def by_old(case: Case, signal: FloatArray, folder: Path) -> tuple[float, dict[str, FloatArray]]:
    """Return CPU seconds and maps of an earlier build."""
    protocol = case.protocol()
    with tempfile.TemporaryDirectory() as place:
        given, found = Path(place) / "given.npz", Path(place) / "found.npz"
        np.savez(given, signal=signal, bvals=protocol.bvals, bvecs=protocol.bvecs)
        command = [sys.executable, "-c", OLD, str(given), str(found), case.model.name, str(REPEATS)]
        environment = os.environ | {"PYTHONPATH": str(folder)}
        subprocess.run(command, env=environment, cwd=place, check=True)
        with np.load(found) as stored:
            maps = {name: stored[name] for name in stored.files}
    return float(maps.pop("seconds")), maps


def differences(ours: dict[str, FloatArray], theirs: dict[str, FloatArray]) -> tuple[float, float]:
    """Return the largest relative difference of all maps, and the 99.9th percentile."""
    found = []
    for name, values in theirs.items():
        least = ZERO_SCALE if name in ("fa", "mk", "ak", "rk", "kfa") else 0.0
        found.append(np.abs(ours[name] - values) / np.maximum(np.abs(values), least))
    both = np.concatenate(found)
    return float(np.nanmax(both)), float(np.nanpercentile(both, 99.9))


def batched(case: Case, signal: FloatArray) -> tuple[float, float, FitResult]:
    """Return CPU seconds of the coefficients with their covariance, of all maps, and the maps."""
    protocol = case.protocol()
    scheme = Scheme.of(protocol, case.model)
    solve, size = Wls().solver(scheme, None), scheme.equations.block
    positive = np.maximum(signal, 1.0)

    def bare() -> None:
        for first in range(0, len(signal), size):
            solve(positive[first : first + size], None)

    def maps() -> FitResult:
        return Wls().fit(case.model, signal, protocol)

    return cpu(bare), cpu(maps), maps()


def rows(case: Case, old: Path | None) -> list[str]:
    """Return the rows of one case in the table of times and differences."""
    signal = awkward(simulate(case, tissue(case.model, case.voxels), 25, 1, rician=True))
    scale = 1e6 / case.voxels
    bare, every, result = batched(case, signal)
    fit, maps, theirs = by_dipy(case, signal)
    compared = [("dipy", maps, theirs, "")]
    if old is not None:
        seconds, theirs = by_old(case, signal, old)
        same = np.array_equal(theirs.pop("status"), result.status)
        compared.append(("earlier build", seconds, theirs, "same" if same else "differs"))
    return [
        f"| {case.title} | {against} | {scale * fit:.1f} | {scale * bare:.1f} | {fit / bare:.1f} "
        f"| {scale * total:.1f} | {scale * every:.1f} | {total / every:.1f} "
        f"| {' | '.join(f'{part:.0e}' for part in differences(result.maps, values))} | {status} |"
        for against, total, values, status in compared
    ]


def speed(old: Path | None) -> list[str]:
    """Return the table of times and differences."""
    lines = [
        "## Speed and numbers of WLS",
        "",
        "| case | against | fit: us a voxel | batched | ratio | all maps: us a voxel | batched, with sd "
        "| ratio | largest difference | 99.9 % below | status |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        lines += rows(case, old)
        print(lines[-1], flush=True)
    return [*lines, ""]


def coverage(estimator: TensorFit, drawn: Callable[..., FloatArray], *, rician: bool) -> list[str]:
    """Return the table of how often one standard deviation covers the truth of tissues that are drawn."""
    names = [p.name for p in KURTOSIS.derived] + ["s0"]
    lines = [
        f"## {estimator.label}: % of voxels whose truth lies within one standard deviation, "
        f"{'Rician' if rician else 'Gaussian'} noise, {DRAWN[drawn]}",
        "",
        f"| case | SNR | {' | '.join(name.upper() for name in names)} |",
        "|---|---" + "|---" * len(names) + "|",
    ]
    for case in CASES:
        for snr in SNRS:
            theta = drawn(case.model, COVERED_VOXELS, COVERED_SEED)
            signal = simulate(case, theta, snr, COVERED_SEED + 1, rician=rician)
            fit = estimator.fit(case.model, signal, case.protocol())
            true = dict(zip([p.name for p in case.model.derived], case.model.derive(theta)[0], strict=True))
            true["s0"] = theta[-1]
            cells = [_covered(fit.maps[n], fit.sd[n], true[n], n) if n in true else "" for n in names]
            lines.append(f"| {case.title} | {snr} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return [*lines, ""]


def _covered(values: FloatArray, spread: FloatArray, true: FloatArray, name: str) -> str:
    asked = (true >= ANISOTROPIC) if name == "fa" else np.ones(true.size, dtype=bool)
    known = asked & np.isfinite(spread)
    share = 100 * np.mean(np.abs(values - true)[known] <= spread[known])
    missing = 100 * (1 - known.sum() / asked.sum())
    return f"{share:.0f}" + (f" ({missing:.0f} unknown)" if missing >= 0.5 else "")


DRAWN = {tissue: "one direction of fibres", crossing: "crossing fibres"}

METHOD = f"""
Signals of Gaussian compartments in all orientations. For times and differences: Rician noise, SNR 25,
with zeros in 3 % of the voxels, steps and outliers in others. `dipy` is its own loop over voxels, with the
maps that its fit offers; the batched fit includes the covariance of the coefficients, all maps include
standard deviations. Differences are relative, of anisotropies and kurtosis to at least {ZERO_SCALE:g}.
Solved with 45 digits, coefficients of the batched fit are right to 1e-14 and those of dipy to 1e-11, which
nearly equal eigenvalues and kurtosis near 0 magnify: the differences are the rounding of dipy. Standard
deviations come from the residuals of each voxel. They are the root mean square of the scatter and of the bias
that Gaussian noise is expected to give. `EIGENVALUE_NOISE` and which terms of second order to keep were
chosen by coverage of these two kinds of tissue with seeds up to 108; the tables are held out, tissues and
noise drawn with seeds {COVERED_SEED} and {COVERED_SEED + 1}: {COVERED_VOXELS} voxels, a cell scatters by 0.5.
FA is judged where it is {ANISOTROPIC:g} or more; unknown are those of raised eigenvalues, of clipped
kurtosis, and KFA where the mean kurtosis is less than its noise. The noise floor of magnitudes raises weak
signals, the more the higher b and the lower the SNR: standard deviations do not tell this bias.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=Path, help="folder of an earlier build")
    old = parser.parse_args().old
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, dipy {dipy.__version__}"
    head = [
        "# Tensor and kurtosis fits",
        "",
        f"{date.today().isoformat()}; {versions}; one thread of {os.cpu_count()} processors; CPU time.",
        METHOD,
    ]
    lines = speed(old.resolve() if old else None)
    for drawn in DRAWN:
        for rician in (False, True):
            lines += coverage(Wls(), drawn, rician=rician)
    lines += coverage(Ols(), tissue, rician=False)
    RESULTS.write_text("\n".join([*head, *lines]), encoding="utf-8")


if __name__ == "__main__":
    main()
