"""What the anchored network learns: the truth itself, and a spread that covers it 68.27 % of the time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bids_qmri.training.pool import Rows

COVERAGE = 0.6827
"""Probability that a Gaussian variable lies within one standard deviation of its mean."""

FLOOR = 0.02
"""Width, as a fraction of the box, below which errors stop to weigh more."""

SMALL = 1e-2
"""Added to errors and spreads, in widths, before the logarithm."""


@dataclass(frozen=True)
class Tensors:
    """The targets of a batch as tensors; see `Rows`."""

    path: Tensor
    context: Tensor
    center: Tensor
    width: Tensor
    truth: Tensor
    free: Tensor
    weight: Tensor


def to_tensors(rows: Rows, *, anchor: bool, snr_power: float = 0.0) -> Tensors:
    """Convert a batch; without anchor the middle of the box and its standard deviation take its place.

    Voxels weigh in proportion to a power of their signal-to-noise ratio. Ratios are drawn log-uniformly; with
    a power of 1 the amplitude then has the uniform prior that `estimators.bayes` assumes.
    """
    weight = rows.snr**snr_power
    center = torch.from_numpy(rows.center)
    width = torch.from_numpy(rows.width)
    if not anchor:
        center, width = torch.full_like(center, BOX_CENTER), torch.full_like(width, BOX_WIDTH)
    return Tensors(
        torch.from_numpy(rows.path),
        torch.from_numpy(rows.context),
        center,
        width,
        torch.from_numpy(rows.truth),
        torch.from_numpy(rows.free),
        torch.from_numpy(weight / weight.mean())[:, None],
    )


BOX_CENTER, BOX_WIDTH = 0.5, 0.29
"""Mean and standard deviation of a uniform prior in box units: the anchor where there is no fit."""


def shift_loss(shift: Tensor, batch: Tensors) -> Tensor:
    """Return the mean of (u - truth)^2 / (width^2 + FLOOR^2) over free quantities.

    The weights come from the data, never from the truth: otherwise the optimum is not the posterior mean.
    """
    error = batch.center + batch.width * shift - batch.truth
    weighted = batch.weight * error**2 / (batch.width**2 + FLOOR**2)
    return (batch.free * weighted).sum() / batch.free.sum().clamp(min=1.0)


def pinball(error: Tensor, spread: Tensor) -> Tensor:
    """Return the pinball loss of absolute errors at the coverage of one standard deviation.

    Taken between logarithms, which leaves the quantile as it is and keeps outliers from ruling.
    """
    excess = torch.log(error + SMALL) - torch.log(spread + SMALL)
    return torch.maximum(COVERAGE * excess, (COVERAGE - 1.0) * excess)


def spread_loss(shift: Tensor, spread: Tensor, batch: Tensors) -> Tensor:
    """Return the mean pinball loss of the spread over free quantities."""
    u = (batch.center + batch.width * shift.detach()).clamp(0.0, 1.0)
    loss = pinball((u - batch.truth).abs() / batch.width, spread)
    return (batch.free * loss).sum() / batch.free.sum().clamp(min=1.0)


def anchored_loss(network: nn.Module, batch: Tensors) -> Tensor:
    """Return the sum of both losses of a network."""
    shift, spread = network(batch.path, batch.context)
    return shift_loss(shift, batch) + spread_loss(shift, spread, batch)
