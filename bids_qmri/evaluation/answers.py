"""What estimators answer to all measurements of a scan, and to some of them, as the application fits both.

Called by `workflows.evaluate` and by benchmarks with voxels of a scan that is open no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bids_qmri.estimation.blocks import BLOCK_VOXELS, Measured, fit_block, join, prior_sample
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import Preparation, Scan, Voxels, prepare
from bids_qmri.estimation.prior import PriorChoice, PriorSample, choose_prior, sample_voxels
from bids_qmri.estimators.base import Estimator, FitResult
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.units import FloatArray

Maps = Mapping[str, FloatArray]
"""Estimates by quantity, each (v,)."""

Answer = Callable[[Sequence[int] | None], FitResult]
"""Estimates from some images, by their numbers, or from all, and where the data determine them; raises
InputError where there are none."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Voxels of a scan.

    Parameters
    ----------
    scan
        What is known of it beside its signals.
    signal
        As measured, (v, N).
    voxels
        Their numbers in the image, (v,).
    noise
        Of a single image of the whole series, None if it is not known. Sub-protocols are told the same: few
        measurements do not tell it.
    """

    scan: Scan
    signal: FloatArray
    voxels: Voxels
    noise: ScanNoise | None

    def of(self, kept: Sequence[int] | None) -> Sample:
        """Return the same voxels with some of the images."""
        if kept is None:
            return self
        protocol = self.scan.require_protocol().chosen(kept)
        scan = replace(self.scan, protocol=protocol, mean_curve=None)
        return replace(self, scan=scan, signal=np.ascontiguousarray(self.signal[:, list(kept)]))


def fit_sample(
    model: Model,
    estimator: Estimator,
    sample: Sample,
    bounds: Bounds | None = None,
    choice: PriorChoice = "scan",
) -> FitResult:
    """Fit voxels as the application fits an image.

    Parameters
    ----------
    model, estimator
        What is fitted, and how.
    sample
        The voxels.
    bounds
        Limits that a person wants.
    choice
        Where the truth is expected; ``scan``: as these voxels show.

    Raises
    ------
    InputError
        The estimator cannot be used for this protocol.
    """
    how = prepare(model, estimator, sample.scan, bounds)
    if estimator.has_prior:
        how = replace(how, prior=choose_prior(model, choice, how.bounds, _learned_from(how, sample)))
    parts = [fit_block(model, estimator, how, block, sample.noise).fit for block in _blocks(sample)]
    return join(parts)


def _learned_from(how: Preparation, sample: Sample) -> PriorSample | None:
    chosen = sample_voxels(np.ones(len(sample.voxels), dtype=np.bool_))
    return prior_sample(how, (sample.signal[chosen], sample.voxels[chosen]), sample.noise)


def _blocks(sample: Sample) -> list[Measured]:
    starts = range(0, max(len(sample.signal), 1), BLOCK_VOXELS)
    return [
        (sample.signal[first : first + BLOCK_VOXELS], sample.voxels[first : first + BLOCK_VOXELS])
        for first in starts
    ]


def answer_of(
    model: Model,
    estimator: Estimator,
    sample: Sample,
    bounds: Bounds | None = None,
    choice: PriorChoice = "scan",
) -> Answer:
    """Return what an estimator answers in the voxels of a sample; arguments as of `fit_sample`."""

    def answer(kept: Sequence[int] | None) -> FitResult:
        found = fit_sample(model, estimator, sample.of(kept), bounds, choice)
        return FitResult(found.maps, determined=found.determined)

    return answer
