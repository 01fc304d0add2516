"""NODDI by posterior mean and standard deviation on a grid, with the noise floor of magnitudes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.base import Estimator, FitResult, Status
from bids_qmri.estimators.classical.asymptotic import checked_signal
from bids_qmri.estimators.classical.noise import require_positive
from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise, VoxelNoise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.noddi.entries import moments
from bids_qmri.techniques.noddi.model import COMPONENTS, Noddi
from bids_qmri.techniques.noddi.posterior import Grid, log_likelihood, make_grid, predicted, summed
from bids_qmri.techniques.noddi.shell_noise import shell_sigma
from bids_qmri.techniques.noddi.zonal import QUANTITIES, ShellGroups, sort_shells
from bids_qmri.units import FloatArray

BLOCK_VOXELS = 1024
"""Voxels whose likelihoods at all nodes are held at a time, 26 MB."""


@dataclass(frozen=True)
class NoddiBayes(Estimator):
    """Posterior means and standard deviations of NDI, ODI and FWF; maps as of `NoddiLsq`.

    The direction is estimated first and then held; S0 is integrated. The cells of the grid are part of the
    standard deviations, which therefore do not fall below 0.02: at a signal-to-noise ratio at b = 0 above 40
    `lsq` and `ncde` tell more.
    """

    label = "bayes"
    description = (
        "Mean and standard deviation of the posterior within bounds on a grid over NDI, ODI and FWF, fibre "
        "direction estimated first, noise given or estimated from the scan."
    )
    reference = Bayes.reference
    needs_noise = True
    has_prior = True

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        assert isinstance(model, Noddi)
        assert isinstance(protocol, DiffusionProtocol)
        data, usable = checked_signal(model, signal, protocol)
        shells = sort_shells(protocol)
        usable &= (data[:, shells.b0].mean(axis=1) > 0) & ~np.any(data < 0, axis=1)
        if noise is None:
            sigma = shell_sigma(data[usable], protocol, model.d_par) if usable.any() else 1.0
            noise = Noise(sigma, sigma)
        told = noise.spread(usable.size)
        require_positive(told.take(usable))
        grid = make_grid(model, shells, *model.limits(bounds), prior)
        names = (*QUANTITIES, "s0", *COMPONENTS)
        values = np.full((len(names), usable.size), np.nan)
        sd, residual = np.full((len(QUANTITIES), usable.size), np.nan), np.full(usable.size, np.nan)
        voxels = np.flatnonzero(usable)
        for first in range(0, voxels.size, BLOCK_VOXELS):
            part = voxels[first : first + BLOCK_VOXELS]
            values[:, part], sd[:, part], residual[part] = _block(
                model, grid, shells, protocol, data[part], told.take(part)
            )
        status = np.where(usable, Status.OK, Status.UNUSABLE).astype(np.uint8)
        return FitResult(
            dict(zip(names, values, strict=True)), dict(zip(QUANTITIES, sd, strict=True)), residual, status
        )


def _block(
    model: Noddi,
    grid: Grid,
    shells: ShellGroups,
    protocol: DiffusionProtocol,
    signal: FloatArray,
    noise: VoxelNoise,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return maps, (7, v), standard deviations, (3, v), and the rms residual, (v,)."""
    sums = summed(signal, shells, model.d_par)
    likelihood = log_likelihood(grid, sums, noise.over(sums.s0), len(shells.b0))
    table = np.concatenate([grid.theta, grid.theta**2 + grid.sd**2]).astype(np.float32)
    found = np.empty((len(signal), 1 + len(table)))
    moments(likelihood, grid.log_mass.astype(np.float32), table, found)
    mean, square = np.split((found[:, 1:] / found[:, :1]).T, 2)
    also, curve = predicted(model, signal, protocol, mean)
    values = np.concatenate([mean, *(row[None] for row in also.values())])
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    return values, spread, np.sqrt(np.mean((signal.T - curve) ** 2, axis=0))
