"""The grid of parameters of Rot et al., section 2.4: mean, bias and standard deviation at its points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.noddi.model import noddi_signal
from bids_qmri.units import FloatArray
from rot.rows import QUANTITIES, SYMBOL, Maps, rows_for

SNR, REPEATS, SEED = 15.0, 100, 20250712
STEPS = np.arange(0.05, 1.0, 0.1)
FREE_WATER = STEPS[:5]
"""Up to 0.45: beyond, orientation and density are not determined."""

DETERMINED = 0.2
"""NDI from which ODI can be told: without neurites they have no orientation."""


@dataclass(frozen=True)
class Grid:
    """Estimates on the grid.

    Parameters
    ----------
    truth
        NDI, ODI, FWF of the points, (3, P).
    estimates
        By estimator, (3, P, R) for R draws of noise.
    """

    truth: FloatArray
    estimates: dict[str, FloatArray]

    def bias(self, row: str) -> FloatArray:
        """Return the mean error of every point, (3, P)."""
        return np.asarray(self.estimates[row].mean(axis=2) - self.truth)

    def sd(self, row: str) -> FloatArray:
        """Return the standard deviation of every point, (3, P)."""
        return np.asarray(self.estimates[row].std(axis=2))

    def rmse(self, row: str) -> FloatArray:
        """Return the root mean square error over points and noise, (3,)."""
        return np.asarray(np.sqrt(np.mean((self.estimates[row] - self.truth[:, :, None]) ** 2, axis=(1, 2))))

    def correlation(self, row: str, other: str) -> FloatArray:
        """Return the correlation between two estimators where NDI is at least `DETERMINED`, (3,)."""
        kept = self.truth[0] >= DETERMINED
        pairs = zip(self.estimates[row][:, kept], self.estimates[other][:, kept], strict=True)
        return np.array([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])


def measure(protocol: DiffusionProtocol, networks: Path | None, repeats: int = REPEATS) -> Grid:
    """Estimate all points with all estimators; the fibre lies along x, as in the paper."""
    truth = np.stack([x.ravel() for x in np.meshgrid(STEPS, STEPS, FREE_WATER, indexing="ij")])
    fibre = np.tile([1.0, 0.0, 0.0], (truth.shape[1], 1))
    clean = np.repeat(noddi_signal(*truth, fibre, protocol), repeats, axis=1)
    signal = add_rician_noise(clean, 1 / SNR, np.random.default_rng(SEED)).T
    estimates = {}
    for row in rows_for(protocol, networks):
        maps = row.fit(signal, protocol, 1 / SNR)
        estimates[row.name] = _stacked(maps, repeats)
    return Grid(truth, estimates)


def _stacked(maps: Maps, repeats: int) -> FloatArray:
    return np.stack([maps[name].reshape(-1, repeats) for name in QUANTITIES])


def table(grid: Grid) -> list[str]:
    """Return a line per estimator: bias, standard deviation and error of NDI, ODI, FWF."""
    lines = [
        "| estimator | mean bias | mean absolute bias | mean sd | RMSE | correlation with lsq | with mle |",
        "|" + "---|" * 7,
    ]
    for row in grid.estimates:
        bias, sd = grid.bias(row), grid.sd(row)
        cells = [bias.mean(axis=1), np.abs(bias).mean(axis=1), sd.mean(axis=1), grid.rmse(row)]
        if row != "constant":
            cells += [grid.correlation(row, "lsq"), grid.correlation(row, "mle")]
        signed = [f"{x:+.3f}" for x in cells[0]]
        text = [" ".join(signed), *(" ".join(f"{x:.3f}" for x in c) for c in cells[1:])]
        lines.append(f"| {' | '.join([row, *text])} |")
    return [*lines, ""]


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper with what it says in figures, here."""

    paper: str
    here: str
    agrees: bool


def claims(grid: Grid) -> list[Claim]:
    """Compare what the paper says of its Fig. 5 with the same here; `nnmle` and `nngt` must be there."""
    sd = {row: grid.sd(row).mean(axis=1) for row in ("lsq", "nnmle", "nngt")}
    bias = {row: np.abs(grid.bias(row)).mean(axis=1) for row in ("lsq", "nnmle", "nngt")}
    near = np.abs(bias["nnmle"] - bias["lsq"])
    r = {row: grid.correlation(row, "lsq") for row in ("nnmle", "nngt")}
    return [
        Claim(
            "NN_MLE has estimation biases comparable to MLE",
            f"mean absolute bias nnmle {_row(bias['nnmle'])}, lsq {_row(bias['lsq'])}",
            bool(np.all(near <= 0.03)),
        ),
        Claim(
            "NN_GT is more biased, especially in ODI and NDI",
            f"mean absolute bias nngt {_row(bias['nngt'])}, lsq {_row(bias['lsq'])}",
            bool(np.all(bias["nngt"][:2] > bias["lsq"][:2])),
        ),
        Claim(
            "the standard deviation is generally lowest for NN_GT",
            f"mean sd nngt {_row(sd['nngt'])}, nnmle {_row(sd['nnmle'])}, lsq {_row(sd['lsq'])}",
            bool(np.sum(sd["nngt"] <= np.minimum(sd["nnmle"], sd["lsq"])) >= 2),
        ),
        Claim(
            "NN_MLE has a lower standard deviation than MLE for ODI and FWF",
            f"mean sd nnmle {_row(sd['nnmle'])}, lsq {_row(sd['lsq'])}",
            bool(np.all(sd["nnmle"][1:] < sd["lsq"][1:])),
        ),
        Claim(
            "NN_MLE scatters closely about the line of identity with MLE in NDI and FWF",
            f"correlation {_row(r['nnmle'])}, NDI from {DETERMINED}",
            bool(np.all(r["nnmle"][[0, 2]] >= 0.99)),
        ),
        Claim(
            "NN_GT has a greater spread away from the line of identity for all parameters",
            f"correlation nngt {_row(r['nngt'])}, nnmle {_row(r['nnmle'])}",
            bool(np.all(r["nngt"] < r["nnmle"])),
        ),
    ]


def _row(values: FloatArray) -> str:
    return ", ".join(f"{SYMBOL[q]} {x:.3f}" for q, x in zip(QUANTITIES, values, strict=True))
