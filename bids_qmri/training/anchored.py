"""The anchored network: how far the truth lies from a fit, in units of the fit's own standard deviation.

A controlled differential equation follows the measurements in increasing order of flip angle, b-value or
time, as in Kidger et al. 2020 (arXiv:2005.08926), with the increment scheme z += f(z) dX: trained and used
in the same discretisation, any number of measurements, no solver. Two heads read the last state and the
context.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from bids_qmri.training.recipe import NetworkOptions

LIMIT = 8.0
"""Standardised context beyond this many standard deviations is cut: nothing was trained there."""

LEAST_SCALE = 1e-3
"""Smallest standard deviation to divide by, for inputs that do not vary."""


class AnchoredNcde(nn.Module):
    """Path and context in, shift and spread of K quantities out.

    Parameters
    ----------
    options
        Which parts there are, and their sizes.
    channels
        Indices of the channels of the path that are read.
    entries
        Indices of the entries of the context that are read.
    quantities
        Number K of quantities.
    grid
        Places in the context of asinh of the K shifts to the posterior mean on a coarse grid; a learned share
        of these shifts is part of the answer. Empty where they are not read.
    looks_ahead
        Whether the vector field reads the point that a step leads to as well: where there are few of them,
        each must be understood by itself.
    """

    path_mean: Tensor
    path_scale: Tensor
    context_mean: Tensor
    context_scale: Tensor

    def __init__(
        self,
        options: NetworkOptions,
        channels: Sequence[int],
        entries: Sequence[int],
        quantities: int,
        grid: Sequence[int] = (),
        *,
        looks_ahead: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.entries, self.quantities = tuple(channels), tuple(entries), quantities
        self.grid, self.looks_ahead = tuple(grid), looks_ahead
        self.state = options.state if options.path else 0
        for name, size in (("path", len(channels)), ("context", len(entries))):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))
        seen = self.state + len(entries)
        if options.path:
            self.first = nn.Linear(len(channels) + len(entries), self.state)
            ahead = len(channels) if looks_ahead else 0
            self.field = mlp(self.state + ahead, options.field, self.state * len(channels))
        self.readout = mlp(seen, options.readout, quantities + len(self.grid))
        nn.init.zeros_(self.readout[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.readout[-1].bias)  # type: ignore[arg-type]
        self.spread = mlp(seen, options.spread, quantities)

    def standardise(self, path: Tensor, context: Tensor) -> None:
        """Set the scales of the inputs to those of examples, (V, N, C) and (V, Q)."""
        chosen, entries = path[..., self.channels], context[:, self.entries]
        self.path_mean.copy_(chosen.mean(dim=(0, 1)))
        self.path_scale.copy_(chosen.std(dim=(0, 1)).clamp(min=LEAST_SCALE))
        self.context_mean.copy_(entries.mean(dim=0))
        self.context_scale.copy_(entries.std(dim=0).clamp(min=LEAST_SCALE))

    def forward(self, path: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return shift and spread, each (V, K), in units of the width of the anchor."""
        told = (context[:, self.entries] - self.context_mean) / self.context_scale
        seen = told.clamp(-LIMIT, LIMIT)
        if self.state:
            seen = torch.cat([self._follow(path[..., self.channels], seen), seen], dim=1)
        # The spread describes the shift; it must not change the state that the shift is read from.
        return self._shift(seen, context), nn.functional.softplus(self.spread(seen.detach()))

    def _shift(self, seen: Tensor, context: Tensor) -> Tensor:
        answer: Tensor = self.readout(seen)
        if not self.grid:
            return answer
        share = torch.sigmoid(answer[:, self.quantities :])
        return answer[:, : self.quantities] + share * torch.sinh(context[:, self.grid])

    def _follow(self, path: Tensor, context: Tensor) -> Tensor:
        scaled = (path - self.path_mean) / self.path_scale
        state: Tensor = self.first(torch.cat([context, scaled[:, 0]], dim=1))
        for before, after in pairwise(scaled.unbind(dim=1)):
            state = self.step(state, after, after - before)
        return state

    def step(self, state: Tensor, point: Tensor, increment: Tensor) -> Tensor:
        """Return z + f(z) dX of states (V, H), and of points and increments before them, each (V, C)."""
        seen = torch.cat([state, point], dim=1) if self.looks_ahead else state
        # Channels before states: sums over the long axis would be slower.
        slope: Tensor = self.field(seen).reshape(-1, len(self.channels), self.state)
        change: Tensor = (slope * increment[:, :, None]).sum(dim=1)
        return state + change


def mlp(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Return linear layers with SiLU between them."""
    sizes = [inputs, *hidden, outputs]
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(sizes)):
        layers += [nn.SiLU()] if i else []
        layers.append(nn.Linear(before, after))
    return nn.Sequential(*layers)


def count_weights(network: nn.Module) -> int:
    """Return the number of trained values."""
    return sum(p.numel() for p in network.parameters())
