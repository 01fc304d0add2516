"""Posterior means of voxels together with their neighbours: what it is; `estimation.local` computes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, FitResult
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol


@dataclass(frozen=True)
class Local(Estimator):
    """Mean and standard deviation of the posterior under a prior that every voxel takes from its neighbours.

    Neighbours count by distance and by how well they agree with the voxel; where they do not, the
    distribution of the whole scan takes over, which has heavy tails. Two maps tell how far it went:
    ``safety``, the share of that distribution in the posterior, and ``shift``, how far the estimate lies from
    that of the voxel alone, in standard deviations of the latter. A value depends on the other voxels.
    """

    label = "local"
    description = (
        "Mean and standard deviation of the posterior under a prior from neighbouring voxels, weighted by "
        "distance and agreement, and from the whole scan where they disagree; noise given or estimated from "
        "the scan."
    )
    reference = "Besag 1986, doi:10.1111/j.2517-6161.1986.tb01412.x, with weights by simulation"
    needs_noise = True
    has_prior = True
    own_prior = True
    neighbours = True
    single_images = True

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        raise InputError(
            "an array of voxels says nothing of their neighbours",
            field="estimator local",
            needed="images, on the command line or in fit_files",
            fix="use bayes for arrays",
        )
