"""The anchored network: how far the truth lies from a fit, in units of the fit's own standard deviation.

A controlled differential equation follows the measurements in increasing order of flip angle, b-value or
time, as in Kidger et al. 2020 (arXiv:2005.08926), with the increment scheme z += f(z) dX: trained and used
in the same discretisation, any number of measurements, no solver. Two heads read the last state and the
context.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from onnx import helper
from torch import Tensor, nn

from bids_qmri.estimators.networks.features import interface
from bids_qmri.training.export import Graph, assemble, feature_fields, typed
from bids_qmri.training.loss import Tensors, anchored_loss, precision_loss, to_tensors
from bids_qmri.training.parts import Anchored, AnchoredLoss
from bids_qmri.training.pool import FeatureRows, Pool
from bids_qmri.training.recipe import Recipe
from bids_qmri.training.validate import validate

FROM_FIT = ("map", "newton", "log_width", "grid", "local", "correlation", "log_chi2", "log_snr", "residual")
"""How the names of features begin that come from a fit or from the posterior on a grid."""

LIMIT = 8.0
"""Standardised context beyond this many standard deviations is cut: nothing was trained there."""

LEAST_SCALE = 1e-3
"""Smallest standard deviation to divide by, for inputs that do not vary."""


class AnchoredNcde(nn.Module):
    """Path and context in, shift and spread of K quantities out.

    Parameters
    ----------
    channels, entries
        Indices of the channels of the path and of the entries of the context that are read.
    grid
        Places in the context of asinh of the K shifts to the posterior mean on a coarse grid; a learned share
        of these shifts is part of the answer. Empty where they are not read.
    """

    path_mean: Tensor
    path_scale: Tensor
    context_mean: Tensor
    context_scale: Tensor

    def __init__(
        self,
        options: Anchored,
        channels: Sequence[int],
        entries: Sequence[int],
        quantities: int,
        grid: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.channels, self.entries, self.quantities = tuple(channels), tuple(entries), quantities
        self.grid, self.looks_ahead = tuple(grid), options.looks_ahead
        self.state = options.state if options.path else 0
        for name, size in (("path", len(channels)), ("context", len(entries))):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))
        seen = self.state + len(entries)
        if options.path:
            self.first = nn.Linear(len(channels) + len(entries), self.state)
            ahead = len(channels) if options.looks_ahead else 0
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


def build(recipe: Recipe, pool: Pool) -> AnchoredNcde:
    """Return an untrained network whose inputs are scaled to those of a pool."""
    names, channels, context = interface(recipe.forward)
    anchor = recipe.network.anchor
    chosen = kept(channels, anchor=anchor), kept(context, anchor=anchor)
    network = AnchoredNcde(recipe.network, *chosen, len(names), grid_shifts(context, anchor=anchor))
    path = np.concatenate([rows.path[::16].reshape(-1, 1, rows.path.shape[2]) for rows in pool.values()])
    entries = np.concatenate([rows.context[::16] for rows in pool.values()])
    network.standardise(torch.from_numpy(path), torch.from_numpy(entries))
    return network


def kept(names: Sequence[str], *, anchor: bool) -> tuple[int, ...]:
    """Return the positions of the features that are read, those of a fit or a grid with an anchor alone."""
    return tuple(i for i, name in enumerate(names) if anchor or not name.startswith(FROM_FIT))


def grid_shifts(context: Sequence[str], *, anchor: bool) -> tuple[int, ...]:
    """Return where the context has the shifts to the mean on the finest grid; nowhere without anchor."""
    shifts = [
        tuple(i for i, name in enumerate(context) if anchor and name.startswith(kind))
        for kind in ("local_shift", "grid_shift")
    ]
    return shifts[0] or shifts[1]


def loss(recipe: Recipe, steps: int) -> Callable[[nn.Module, FeatureRows, int], Tensor]:
    """Return what a network of a recipe is trained to lower, by network, rows and step."""
    of_anchor = isinstance(recipe.loss, AnchoredLoss)
    power = recipe.loss.snr_power if of_anchor else 0.0
    of_batch: Callable[[nn.Module, Tensors], Tensor] = anchored_loss if of_anchor else precision_loss

    def of_rows(network: nn.Module, rows: FeatureRows, _: int) -> Tensor:
        return of_batch(network, to_tensors(rows, anchor=recipe.network.anchor, snr_power=power))

    return of_rows


def accuracy(recipe: Recipe, network: nn.Module, held_out: Pool) -> dict[str, Any]:
    """Return figures of merit on rows that were not trained with."""
    return validate(recipe, network, held_out, anchor=recipe.network.anchor)


def fields(recipe: Recipe) -> dict[str, Any]:
    """Return what the card says of networks of this kind."""
    return feature_fields(recipe, anchor=recipe.network.anchor)


def content(recipe: Recipe, network: AnchoredNcde, card: Mapping[str, Any]) -> bytes:
    """Return a network as an ONNX file, the same bytes for the same network and card."""
    _, channels, context = interface(recipe.forward)
    return to_onnx(network, len(channels), len(context), card)


def to_onnx(network: AnchoredNcde, channels: int, entries: int, card: Mapping[str, Any]) -> bytes:
    """Return the ONNX file of a network, for so many channels and entries of the context of its features."""
    graph = Graph()
    told = graph.scaled(
        graph.chosen("context", network.entries, 1, entries), network.context_mean, network.context_scale
    )
    ends = (graph.constant(np.array(end, dtype=np.float32)) for end in (-LIMIT, LIMIT))
    seen = graph.add("Clip", told, *ends)
    if network.state:
        path = graph.chosen("path", network.channels, 2, channels)
        state = _follow(graph, network, graph.scaled(path, network.path_mean, network.path_scale), seen)
        seen = graph.add("Concat", state, seen, axis=1)
    graph.named(_shift(graph, network, graph.mlp(network.readout, seen)), "shift")
    graph.named(graph.add("Softplus", graph.mlp(network.spread, seen)), "spread")
    return assemble(graph, channels, entries, network.quantities, card)


def _shift(graph: Graph, network: AnchoredNcde, answer: str) -> str:
    """Add the share of the shift to the posterior mean on the grid, where the network has one."""
    if not network.grid:
        return answer
    count = network.quantities
    sizes = graph.integers(count, len(network.grid))
    graph.nodes.append(helper.make_node("Split", [answer, sizes], ["direct", "share"], name="split", axis=1))
    grid = graph.add("Sinh", graph.add("Gather", "context", graph.integers(*network.grid), axis=1))
    return graph.add("Add", "direct", graph.add("Mul", graph.add("Sigmoid", "share"), grid))


def _follow(graph: Graph, network: AnchoredNcde, path: str, context: str) -> str:
    """Add the first state and the Scan of steps over increments; return the last state."""
    one, zero, end = graph.integers(1), graph.integers(0), graph.integers(np.iinfo(np.int64).max)
    last, axis = graph.integers(-1), graph.integers(1)
    start = graph.add("Gather", path, graph.constant(np.array(0, dtype=np.int64)), axis=1)
    first = graph.linear(network.first, graph.add("Concat", context, start, axis=1))
    later = graph.add("Slice", path, one, end, axis)
    increments = graph.add("Sub", later, graph.add("Slice", path, zero, last, axis))
    step = Graph("step_")
    channels = len(network.channels)
    seen = step.add("Concat", "z", "x", axis=1) if network.looks_ahead else "z"
    slope = step.add("Reshape", step.mlp(network.field, seen), step.integers(-1, channels, network.state))
    product = step.add("MatMul", step.add("Unsqueeze", "dx", step.integers(1)), slope)
    change = step.add("Squeeze", product, step.integers(1))
    step.nodes.append(helper.make_node("Add", ["z", change], ["z_next"], name="z_next"))
    scanned = {"dx": increments, "x": later} if network.looks_ahead else {"dx": increments}
    body = helper.make_graph(
        step.nodes,
        "step",
        [typed("z", ["V", network.state]), *(typed(name, ["V", channels]) for name in scanned)],
        [typed("z_next", ["V", network.state])],
        step.constants,
    )
    axes = [1] * len(scanned)
    return graph.add(
        "Scan", first, *scanned.values(), body=body, num_scan_inputs=len(axes), scan_input_axes=axes
    )
