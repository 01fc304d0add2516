"""The perceptrons of one protocol, with the inputs and outputs that the application has for networks.

Inside are the study's: signals divided by an approximate amplitude, parameters within Table 1. The standard
deviations are an addition: perceptrons of their own, which the estimates do not depend on.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from bids_qmri.estimators.posterior.box import box, boxed, quantities
from bids_qmri.estimators.networks.features import CHANNELS, CONTEXT, SCALE
from bids_qmri.training.kuppens.curves import Batch, fixed_protocol, measurements
from bids_qmri.training.kuppens.loss import study_loss
from bids_qmri.training.kuppens.networks import ParallelHeads
from bids_qmri.training.kuppens.recipe import MlpOptions, StudyRecipe
from bids_qmri.training.loss import BOX_CENTER, BOX_WIDTH, pinball
from bids_qmri.training.network import LEAST_SCALE

BOX_OFFSET = 0.03
"""What `features` adds to limits before their logarithm is taken."""

LEAST_SPAN = 1e-6
"""Smallest distance of limits to divide by, in units of `SCALE`."""


class ProtocolMlp(nn.Module):
    """Path and context in, shift and spread of K quantities out, for one protocol.

    Parameters
    ----------
    options
        Sizes.
    recipe
        Model, ranges and protocol.
    points
        Number N of measurements after repeats are averaged.
    """

    mean: Tensor
    scale: Tensor
    lower: Tensor
    span: Tensor

    def __init__(self, options: MlpOptions, recipe: StudyRecipe, points: int) -> None:
        super().__init__()
        model = recipe.forward
        self.names = quantities(model)
        self.places = boxed(model)
        self.model = recipe.model
        self.first = float(np.min(measurements(fixed_protocol(recipe.acquisition))))
        lower, upper = box(model, recipe.bounds)
        for name, value in (("lower", lower), ("span", upper - lower)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32))
        self.register_buffer("mean", torch.zeros(points))
        self.register_buffer("scale", torch.ones(points))
        self.heads = ParallelHeads(points, options.hidden, len(model.parameters))
        self.spreads = ParallelHeads(points, options.spread, len(self.names))

    def standardise(self, signal: Tensor) -> None:
        """Set the scales of the inputs to those of normalised signals, (V, N)."""
        self.mean.copy_(signal.mean(dim=0))
        self.scale.copy_(signal.std(dim=0).clamp(min=LEAST_SCALE))

    def read(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Return coefficients (V, M), and spreads (V, K) in units of a uniform prior's, of signals (V, N)."""
        scaled = (signal - self.mean) / self.scale
        return self.heads(scaled), nn.functional.softplus(self.spreads(scaled))

    def values(self, inside: Tensor) -> Tensor:
        """Return the quantities (V, K) of parameters (V, M) given within their ranges."""
        fitted = inside[:, self.places]
        values = self.lower[: len(self.places)] + fitted * self.span[: len(self.places)]
        if self.model != "etofts":
            return values
        return torch.cat([values, values[:, :1] * values[:, 1:2]], dim=1)

    def forward(self, path: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return shift and spread, each (V, K), for the box that the context tells."""
        coefficients, spread = self.read(self.normalised(path, context))
        lower, upper = (self.limits(context, end) for end in ("lower", "upper"))
        scale = torch.tensor([SCALE[name] for name in self.names])
        span = torch.maximum(upper - lower, LEAST_SPAN * scale)
        inside = (self.values(torch.sigmoid(coefficients)) - lower) / span
        return (inside - BOX_CENTER) / BOX_WIDTH, spread * self.span / span

    def normalised(self, path: Tensor, context: Tensor) -> Tensor:
        """Return the signals as the study divides them, (V, N), from features."""
        signal = path[..., CHANNELS[self.model].index("signal")]
        if self.model == "etofts":
            places = [CONTEXT[self.model].index(name) for name in ("log_uptake", "log_input")]
            return signal * torch.exp(context[:, places].sum(dim=1, keepdim=True))
        approximate = signal[:, :1] / self.low_angle()
        return signal / approximate

    def low_angle(self) -> float:
        """Return the sine of equation 9 for flip angles, 1 for b-values."""
        return float(np.sin(np.deg2rad(self.first))) if self.model == "vfa" else 1.0

    def limits(self, context: Tensor, end: str) -> Tensor:
        """Return the lower or upper limits of the quantities, (V, K), from the context."""
        scale = torch.tensor([SCALE[name] for name in self.names])
        return scale * (torch.exp(context[:, self.limit_places(end)]) - BOX_OFFSET)

    def limit_places(self, end: str) -> list[int]:
        """Return where the context has the limits of an end, ``lower`` or ``upper``."""
        return [CONTEXT[self.model].index(f"box_{end}_{name}") for name in self.names]


def mlp_loss(recipe: StudyRecipe, network: ProtocolMlp, batch: Batch) -> Tensor:
    """Return equation 6, plus the loss of the spread, which no weight of the estimates takes part in."""
    coefficients, spread = network.read(batch.signal)
    with torch.no_grad():
        wrong = network.values(torch.sigmoid(coefficients)) - network.values(batch.truth)
        error = wrong.abs() / (network.span * BOX_WIDTH)
    return study_loss(recipe, coefficients, batch) + pinball(error, spread).mean()
