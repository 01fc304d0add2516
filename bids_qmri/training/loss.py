"""What networks learn: the truth itself, and a spread that covers it 68.27 % of the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bids_qmri.training.pool import FeatureRows

COVERAGE = 0.6827
"""Probability that a Gaussian variable lies within one standard deviation of its mean."""

FLOOR = 0.02
"""Width, as a fraction of the box, below which errors stop to weigh more."""

SMALL = 1e-2
"""Added to errors and spreads, in widths, before the logarithm."""

BOX_CENTRE, BOX_WIDTH = 0.5, 0.29
"""Mean and standard deviation of a uniform prior in box units: the anchor where there is no fit."""


@dataclass(frozen=True)
class Tensors:
    """A batch as tensors; see `pool.FeatureRows`."""

    path: Tensor
    context: Tensor
    centre: Tensor
    width: Tensor
    truth: Tensor
    free: Tensor
    weight: Tensor


def to_tensors(rows: FeatureRows, *, anchor: bool, snr_power: float = 0.0) -> Tensors:
    """Convert a batch; without anchor the middle of the box and its standard deviation take its place.

    Voxels weigh in proportion to a power of their signal-to-noise ratio. Ratios are drawn log-uniformly; with
    a power of 1 the amplitude then has the uniform prior that `estimators.bayes` assumes.
    """
    weight = rows.snr**snr_power
    names = ("path", "context", "centre", "width", "truth", "free")
    found = {name: torch.from_numpy(getattr(rows, name)) for name in names}
    if not anchor:
        found["centre"] = torch.full_like(found["centre"], BOX_CENTRE)
        found["width"] = torch.full_like(found["width"], BOX_WIDTH)
    return Tensors(**found, weight=torch.from_numpy(weight / weight.mean())[:, None])


def shift_loss(shift: Tensor, batch: Tensors) -> Tensor:
    """Return the mean of (u - truth)^2 / (width^2 + FLOOR^2) over free quantities.

    The weights come from the data, never from the truth: otherwise the optimum is not the posterior mean.
    """
    error = batch.centre + batch.width * shift - batch.truth
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
    u = (batch.centre + batch.width * shift.detach()).clamp(0.0, 1.0)
    loss = pinball((u - batch.truth).abs() / batch.width, spread)
    return (batch.free * loss).sum() / batch.free.sum().clamp(min=1.0)


def weighed_error(shift: Tensor, spread: Tensor, batch: Tensors) -> Tensor:
    """Return the mean squared error over the squared standard deviation that the network states.

    Otherwise voxels that say little, and protocols of few measurements, would rule what is learnt. The weight
    depends on the data alone, never on the truth, so that the optimum stays the posterior mean; `FLOOR` keeps
    it finite.
    """
    error = batch.centre + batch.width * shift - batch.truth
    told = batch.width * spread.detach()
    weighted: Tensor = error**2 / (told**2 + FLOOR**2)
    return weighted.mean()


def anchored_loss(network: nn.Module, batch: Tensors) -> Tensor:
    """Return the sum of the losses of both heads, errors over the width of the anchor."""
    shift, spread = network(batch.path, batch.context)
    return shift_loss(shift, batch) + spread_loss(shift, spread, batch)


def precision_loss(network: nn.Module, batch: Tensors) -> Tensor:
    """Return the sum of the losses of both heads, errors over the spread that the network states."""
    shift, spread = network(batch.path, batch.context)
    return weighed_error(shift, spread, batch) + spread_loss(shift, spread, batch)


def study_loss(recipe: Any, coefficients: Tensor, rows: Any) -> Tensor:
    """Return equation 6 of Kuppens et al.: parameters against the truth, and their curve against the signal.

    `coefficients` are outputs of a network, (V, P); `rows` what it read, as tensors (`pool.SignalRows`).
    """
    inside, weights = torch.sigmoid(coefficients), recipe.loss
    supervised = ((inside - rows.truth) ** 2).mean()
    if weights.physics == 0.0:
        return weights.supervised * supervised
    reconstruction = ((rows.signal - predicted(recipe, inside, rows.measured)) ** 2).mean()
    return weights.supervised * supervised + weights.physics * reconstruction.float()


def predicted(recipe: Any, inside: Tensor, measured: Tensor) -> Tensor:
    """Return the noise-free curves (V, N), in double precision, of parameters (V, P) within their ranges."""
    limits = torch.tensor(recipe.data.ranges(recipe.forward), dtype=torch.float64)
    theta = limits[:, 0] + inside.double() * (limits[:, 1] - limits[:, 0])
    curves: Tensor = recipe.protocol.curve(torch, theta, measured.double())
    return curves
