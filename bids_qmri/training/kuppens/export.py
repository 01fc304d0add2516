"""From the perceptrons of one protocol to an ONNX file, node by node like `training.export`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bids_qmri.estimators.networks.features import CHANNELS, CONTEXT, SCALE
from bids_qmri.training.export import Graph, assemble
from bids_qmri.training.kuppens.networks import ParallelHeads
from bids_qmri.training.kuppens.perceptron import BOX_OFFSET, LEAST_SPAN, ProtocolMlp
from bids_qmri.training.loss import BOX_CENTER, BOX_WIDTH


def mlp_to_onnx(network: ProtocolMlp, card: Mapping[str, Any]) -> bytes:
    """Return a network as the bytes of an ONNX file, the same for the same network and card."""
    graph = Graph()
    scaled = graph.scaled(_normalised(graph, network), network.mean, network.scale)
    lower, upper = (_limits(graph, network, end) for end in ("lower", "upper"))
    least = LEAST_SPAN * np.array([SCALE[name] for name in network.names], dtype=np.float32)
    span = graph.add("Max", graph.add("Sub", upper, lower), graph.constant(least.astype(np.float32)))
    values = _values(graph, network, graph.add("Sigmoid", _heads(graph, network.heads, scaled)))
    inside = graph.add("Div", graph.add("Sub", values, lower), span)
    from_middle = graph.add("Sub", inside, _number(graph, BOX_CENTER))
    graph.named(graph.add("Div", from_middle, _number(graph, BOX_WIDTH)), "shift")
    spread = graph.add("Softplus", _heads(graph, network.spreads, scaled))
    graph.named(graph.add("Div", graph.add("Mul", spread, graph.tensor(network.span)), span), "spread")
    sizes = len(CHANNELS[network.model]), len(CONTEXT[network.model])
    return assemble(graph, *sizes, len(network.names), card)


def _number(graph: Graph, value: float) -> str:
    return graph.constant(np.array(value, dtype=np.float32))


def _normalised(graph: Graph, network: ProtocolMlp) -> str:
    """Add the division of the signals by an approximate amplitude."""
    place = np.array(CHANNELS[network.model].index("signal"), dtype=np.int64)
    signal = graph.add("Gather", "path", graph.constant(place), axis=2)
    if network.model == "etofts":
        places = [CONTEXT[network.model].index(name) for name in ("log_uptake", "log_input")]
        logs = graph.add("Gather", "context", graph.integers(*places), axis=1)
        total = graph.add("ReduceSum", logs, graph.integers(1), keepdims=1)
        return graph.add("Mul", signal, graph.add("Exp", total))
    first = graph.add("Gather", signal, graph.integers(0), axis=1)
    return graph.add("Div", signal, graph.add("Div", first, _number(graph, network.low_angle())))


def _limits(graph: Graph, network: ProtocolMlp, end: str) -> str:
    """Add the limits of the quantities at one end."""
    logs = graph.add("Gather", "context", graph.integers(*network.limit_places(end)), axis=1)
    scale = graph.constant(np.array([SCALE[name] for name in network.names], dtype=np.float32))
    return graph.add("Mul", scale, graph.add("Sub", graph.add("Exp", logs), _number(graph, BOX_OFFSET)))


def _values(graph: Graph, network: ProtocolMlp, inside: str) -> str:
    """Add the quantities that parameters within their ranges mean."""
    count = len(network.places)
    fitted = graph.add("Gather", inside, graph.integers(*network.places), axis=1)
    width = graph.add("Mul", fitted, graph.tensor(network.span[:count]))
    values = graph.add("Add", graph.tensor(network.lower[:count]), width)
    if network.model != "etofts":
        return values
    kep, ve = (graph.add("Gather", values, graph.integers(place), axis=1) for place in (0, 1))
    return graph.add("Concat", values, graph.add("Mul", kep, ve), axis=1)


def _heads(graph: Graph, heads: ParallelHeads, x: str) -> str:
    """Add parallel perceptrons from (V, I) to (V, M)."""
    y = graph.add("Unsqueeze", x, graph.integers(0))
    for i, (weight, bias) in enumerate(zip(heads.weights, heads.biases, strict=True)):
        y = graph.add("Elu", y) if i else y
        y = graph.add("Add", graph.add("MatMul", y, graph.tensor(weight)), graph.tensor(bias))
    return graph.add("Transpose", graph.add("Squeeze", y, graph.integers(2)), perm=[1, 0])
