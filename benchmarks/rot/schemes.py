"""Accuracy on schemes that the protocol-agnostic network was never trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from kuppens.stats import Ratio, ratio_of_means

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.noddi.model import noddi_signal
from bids_qmri.units import FloatArray
from rot.rows import QUANTITIES, SYMBOL, rows_for

FITS = ("lsq", "mle")
FREE_WATER = (0.5, 0.9)
"""Upper ends of FWF."""

SEED = 20251018


@dataclass(frozen=True)
class Scheme:
    """A scheme and the signal-to-noise ratio at b = 0 at which it is tried.

    Parameters
    ----------
    file
        Name without ending in the folder of schemes; None for one that is made from `shells`.
    shells
        b-values with numbers of directions, b = 0 included.
    """

    name: str
    snr: float
    file: str | None = None
    shells: tuple[tuple[float, int], ...] = ()

    def protocol(self, folder: Path) -> DiffusionProtocol:
        """Read or make the scheme."""
        if self.file is not None:
            vectors = np.loadtxt(folder / f"{self.file}.bvec")
            return DiffusionProtocol(np.loadtxt(folder / f"{self.file}.bval"), vectors.T)
        bvals = np.concatenate([np.full(count, b) for b, count in self.shells])
        bvecs = np.concatenate([_spread(count) if b else np.zeros((count, 3)) for b, count in self.shells])
        return DiffusionProtocol(bvals, bvecs)


SCHEMES = (
    Scheme("NODDI 9/24x700/48x2000", 25, "noddi_s1"),
    Scheme("HCP 18/90x1000,2000,3000", 20, "hcp_like"),
    Scheme("UKB 8/50x1000,2000", 25, "ukb_like"),
    Scheme("ABCD 7/6x500,15x1000,15x2000,60x3000", 20, "abcd_like"),
    Scheme("clinical 3/15x500,30x1500", 25, "clinical_2shell"),
    Scheme("4/12x700,32x2500", 15, shells=((0, 4), (700, 12), (2500, 32))),
)


AT_TRAINING_SNR = tuple(replace(scheme, snr=15) for scheme in SCHEMES[:4])
"""Networks for one scheme know the noise that they were trained with alone."""


@dataclass(frozen=True)
class Cell:
    """Errors on one scheme with FWF up to an end.

    Parameters
    ----------
    scheme, free_water
        Where.
    error
        By estimator, (3, V).
    """

    scheme: Scheme
    free_water: float
    error: dict[str, FloatArray]

    def rmse(self, row: str) -> FloatArray:
        """Return the root mean square errors of NDI, ODI and FWF."""
        return np.asarray(np.sqrt(np.mean(self.error[row] ** 2, axis=1)))

    def best_fit(self, quantity: int) -> str:
        """Return the better of the conventional fits with the true sigma."""
        return min(FITS, key=lambda row: self.rmse(row)[quantity])

    def against(self, row: str, other: str, quantity: int) -> Ratio:
        """Return the ratio of root mean square errors of two estimators with its standard error."""
        squared = ratio_of_means(self.error[row][quantity] ** 2, self.error[other][quantity] ** 2)
        value = float(np.sqrt(squared.value))
        return Ratio(value, squared.se / (2.0 * value))


def measure(scheme: Scheme, free_water: float, folder: Path, networks: Path | None, voxels: int) -> Cell:
    """Draw voxels uniformly over the parameters and the sphere and estimate them."""
    protocol = scheme.protocol(folder)
    rng = np.random.default_rng([SEED, round(10 * free_water), protocol.n_measurements])
    truth = rng.uniform([0.0, 0.01, 0.0], [1.0, 1.0, free_water], (voxels, 3)).T
    fibre = rng.standard_normal((voxels, 3))
    fibre /= np.linalg.norm(fibre, axis=1, keepdims=True)
    signal = add_rician_noise(noddi_signal(*truth, fibre, protocol), 1 / scheme.snr, rng).T
    error = {}
    for row in rows_for(protocol, networks):
        maps = row.fit(signal, protocol, 1 / scheme.snr)
        error[row.name] = np.stack([maps[q] for q in QUANTITIES]) - truth
    return Cell(scheme, free_water, error)


def table(cells: list[Cell]) -> list[str]:
    """Return root mean square errors, a line per scheme and estimator."""
    lines = ["| scheme (SNR) | FWF up to | estimator | NDI | ODI | FWF |", "|" + "---|" * 6]
    for cell in cells:
        for row in cell.error:
            values = [f"{x:.4f}" for x in cell.rmse(row)]
            place = f"{cell.scheme.name} ({cell.scheme.snr:g})"
            lines.append(f"| {' | '.join([place, f'{cell.free_water:g}', row, *values])} |")
    return [*lines, ""]


def ratio_table(cells: list[Cell]) -> list[str]:
    """Return the errors of the agnostic network over those of the better fit."""
    lines = [
        "| scheme | FWF up to | | RMSE of ncde ÷ better of lsq and mle | sigma estimated |",
        "|" + "---|" * 5,
    ]
    for cell in cells:
        for i, quantity in enumerate(QUANTITIES):
            best = cell.best_fit(i)
            ratios = [cell.against(row, best, i) for row in ("ncde", "ncde, sigma estimated")]
            text = [f"{ratios[0]} ({best})", str(ratios[1])]
            place = [cell.scheme.name, f"{cell.free_water:g}", SYMBOL[quantity]]
            lines.append(f"| {' | '.join([*place, *text])} |")
    return [*lines, ""]


def specific_table(cells: list[Cell]) -> list[str]:
    """Return the errors of the agnostic network over those of one for the scheme at the SNR it knows."""
    lines = ["| scheme | FWF up to | NDI | ODI | FWF |", "|" + "---|" * 5]
    for cell in cells:
        if cell.scheme in AT_TRAINING_SNR and "nngt" in cell.error:
            ratios = [str(cell.against("ncde", "nngt", i)) for i in range(len(QUANTITIES))]
            lines.append(f"| {' | '.join([cell.scheme.name, f'{cell.free_water:g}', *ratios])} |")
    return [*lines, ""]


def _spread(count: int) -> FloatArray:
    """Return directions spread evenly over the half sphere, along a spiral, (count, 3)."""
    z = (np.arange(count) + 0.5) / count
    angle = np.pi * (1.0 + np.sqrt(5.0)) * np.arange(count)
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
