"""Perceptrons for one protocol, as of Kuppens et al., with the inputs and outputs that the application has.

Inside are the study's: signals divided by an approximate amplitude, parameters within Table 1. The standard
deviations are an addition: perceptrons of their own, which the estimates do not depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bids_qmri.errors import UsageError
from bids_qmri.estimators.networks.features import interface
from bids_qmri.estimators.posterior.box import box, boxed
from bids_qmri.training.anchored import LEAST_SCALE
from bids_qmri.training.curves import table1_box
from bids_qmri.training.export import Graph, assemble, feature_fields
from bids_qmri.training.loss import BOX_CENTRE, BOX_WIDTH, pinball, study_loss
from bids_qmri.training.pool import Pool, SignalRows
from bids_qmri.training.recipe import Recipe
from bids_qmri.training.spline import ParallelHeads, tensors
from bids_qmri.training.study import measurements
from bids_qmri.training.validate import validate

BOX_OFFSET = 0.03
"""What `features` adds to limits before their logarithm is taken."""

LEAST_SPAN = 1e-6
"""Smallest distance of limits to divide by, in units of `Parameter.typical`."""


class ProtocolMlp(nn.Module):
    """Path and context in, shift and spread of K quantities out, for N points of one protocol.

    Raises
    ------
    UsageError
        If derived quantities of the model are not said to be products (`sampling.Study`).
    """

    mean: Tensor
    scale: Tensor
    lower: Tensor
    span: Tensor
    typical: Tensor

    def __init__(self, recipe: Recipe, points: int) -> None:
        super().__init__()
        model, study, options = recipe.forward, recipe.protocol, recipe.network
        self.names, self.channels, self.context = interface(model)
        self.places = boxed(model)
        if len(study.products) != len(model.derived):
            needed = f"{type(study).__module__} to say of which parameters they are products"
            derived = ", ".join(p.name for p in model.derived)
            raise UsageError(f"{model.name} derives {derived}", field="recipe: network.type", needed=needed)
        self.factors = [tuple(self.names.index(name) for name in pair) for pair in study.products]
        smallest = measurements(study.protocol()).min(keepdims=True)
        self.first = float(study.first(smallest)[0])
        # Without an amplitude, signals keep their unit, which the features tell by these entries.
        self.unit = [self.context.index(name) for name in study.unit]
        lower, upper = box(model, table1_box(model))
        known = {p.name: p.typical for p in (*model.parameters, *model.derived)}
        typical = np.array([known[name] for name in self.names])
        for name, value in (("lower", lower), ("span", upper - lower)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32))
        self.register_buffer("typical", torch.tensor(typical, dtype=torch.float32), persistent=False)
        self.register_buffer("mean", torch.zeros(points))
        self.register_buffer("scale", torch.ones(points))
        self.heads = ParallelHeads(points, options.hidden, len(model.parameters))
        self.spreads = ParallelHeads(points, options.spread, len(self.names))

    def read(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Return coefficients (V, M), and spreads (V, K) in units of a uniform prior's, of signals (V, N)."""
        scaled = (signal - self.mean) / self.scale
        return self.heads(scaled), nn.functional.softplus(self.spreads(scaled))

    def values(self, inside: Tensor) -> Tensor:
        """Return the quantities (V, K) of parameters (V, M) given within their ranges."""
        fitted = inside[:, self.places]
        values = self.lower[: len(self.places)] + fitted * self.span[: len(self.places)]
        products = [values[:, i : i + 1] * values[:, j : j + 1] for i, j in self.factors]
        return torch.cat([values, *products], dim=1)

    def forward(self, path: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return shift and spread, each (V, K), for the box that the context tells."""
        coefficients, spread = self.read(self.normalised(path, context))
        lower, upper = (self.limits(context, end) for end in ("lower", "upper"))
        span = torch.maximum(upper - lower, LEAST_SPAN * self.typical)
        inside = (self.values(torch.sigmoid(coefficients)) - lower) / span
        return (inside - BOX_CENTRE) / BOX_WIDTH, spread * self.span / span

    def normalised(self, path: Tensor, context: Tensor) -> Tensor:
        """Return the signals as the study divides them, (V, N), from features."""
        signal = path[..., self.channels.index("signal")]
        if self.unit:
            return signal * torch.exp(context[:, self.unit].sum(dim=1, keepdim=True))
        return signal / (signal[:, :1] / self.first)

    def limits(self, context: Tensor, end: str) -> Tensor:
        """Return the lower or upper limits of the quantities, (V, K), from the context."""
        return self.typical * (torch.exp(context[:, self.limit_places(end)]) - BOX_OFFSET)

    def limit_places(self, end: str) -> list[int]:
        """Return where the context has the limits of an end, ``lower`` or ``upper``."""
        return [self.context.index(f"box_{end}_{name}") for name in self.names]


def build(recipe: Recipe, pool: Pool) -> ProtocolMlp:
    """Return an untrained network whose inputs are scaled to those of a pool."""
    (rows,) = pool.values()
    network, signal = ProtocolMlp(recipe, rows.signal.shape[1]), torch.from_numpy(rows.signal)
    network.mean.copy_(signal.mean(dim=0))
    network.scale.copy_(signal.std(dim=0).clamp(min=LEAST_SCALE))
    return network


def loss(recipe: Recipe, steps: int) -> Callable[[nn.Module, SignalRows, int], Tensor]:
    """Return equation 6, plus the loss of the spread, which no weight of the estimates takes part in."""

    def of_rows(network: nn.Module, rows: SignalRows, _: int) -> Tensor:
        assert isinstance(network, ProtocolMlp)
        batch = tensors(rows)
        coefficients, spread = network.read(batch.signal)
        with torch.no_grad():
            wrong = network.values(torch.sigmoid(coefficients)) - network.values(batch.truth)
            error = wrong.abs() / (network.span * BOX_WIDTH)
        return study_loss(recipe, coefficients, batch) + pinball(error, spread).mean()

    return of_rows


def accuracy(recipe: Recipe, network: nn.Module, held_out: Pool) -> dict[str, Any]:
    """Return figures of merit on curves that were not trained with."""
    return validate(recipe, network, held_out, anchor=False)


def fields(recipe: Recipe) -> dict[str, Any]:
    """Return what the card says of networks of this kind."""
    values = recipe.protocol.protocol().values()
    protocol = {key: array.tolist() for key, array in values.items()}
    return feature_fields(recipe, anchor=False) | {"protocol": protocol}


def content(_: Recipe, network: ProtocolMlp, card: Mapping[str, Any]) -> bytes:
    """Return a network as an ONNX file, the same bytes for the same network and card."""
    graph = Graph()
    scaled = graph.scaled(_normalised(graph, network), network.mean, network.scale)
    lower, upper = (_limits(graph, network, end) for end in ("lower", "upper"))
    least = graph.tensor(LEAST_SPAN * network.typical)
    span = graph.add("Max", graph.add("Sub", upper, lower), least)
    values = _values(graph, network, graph.add("Sigmoid", _heads(graph, network.heads, scaled)))
    inside = graph.add("Div", graph.add("Sub", values, lower), span)
    from_middle = graph.add("Sub", inside, _number(graph, BOX_CENTRE))
    graph.named(graph.add("Div", from_middle, _number(graph, BOX_WIDTH)), "shift")
    spread = graph.add("Softplus", _heads(graph, network.spreads, scaled))
    graph.named(graph.add("Div", graph.add("Mul", spread, graph.tensor(network.span)), span), "spread")
    return assemble(graph, len(network.channels), len(network.context), len(network.names), card)


def _number(graph: Graph, value: float) -> str:
    return graph.constant(np.array(value, dtype=np.float32))


def _normalised(graph: Graph, network: ProtocolMlp) -> str:
    """Add the division of the signals by an approximate amplitude."""
    place = np.array(network.channels.index("signal"), dtype=np.int64)
    signal = graph.add("Gather", "path", graph.constant(place), axis=2)
    if network.unit:
        logs = graph.add("Gather", "context", graph.integers(*network.unit), axis=1)
        total = graph.add("ReduceSum", logs, graph.integers(1), keepdims=1)
        return graph.add("Mul", signal, graph.add("Exp", total))
    first = graph.add("Gather", signal, graph.integers(0), axis=1)
    return graph.add("Div", signal, graph.add("Div", first, _number(graph, network.first)))


def _limits(graph: Graph, network: ProtocolMlp, end: str) -> str:
    """Add the limits of the quantities at one end."""
    logs = graph.add("Gather", "context", graph.integers(*network.limit_places(end)), axis=1)
    scale = graph.tensor(network.typical)
    return graph.add("Mul", scale, graph.add("Sub", graph.add("Exp", logs), _number(graph, BOX_OFFSET)))


def _values(graph: Graph, network: ProtocolMlp, inside: str) -> str:
    """Add the quantities that parameters within their ranges mean."""
    count = len(network.places)
    fitted = graph.add("Gather", inside, graph.integers(*network.places), axis=1)
    width = graph.add("Mul", fitted, graph.tensor(network.span[:count]))
    values = graph.add("Add", graph.tensor(network.lower[:count]), width)
    products = []
    for pair in network.factors:
        one, other = (graph.add("Gather", values, graph.integers(place), axis=1) for place in pair)
        products.append(graph.add("Mul", one, other))
    return graph.add("Concat", values, *products, axis=1) if products else values


def _heads(graph: Graph, heads: ParallelHeads, x: str) -> str:
    """Add parallel perceptrons from (V, I) to (V, M)."""
    y = graph.add("Unsqueeze", x, graph.integers(0))
    for i, (weight, bias) in enumerate(zip(heads.weights, heads.biases, strict=True)):
        y = graph.add("Elu", y) if i else y
        y = graph.add("Add", graph.add("MatMul", y, graph.tensor(weight)), graph.tensor(bias))
    return graph.add("Transpose", graph.add("Squeeze", y, graph.integers(2)), perm=[1, 0])
