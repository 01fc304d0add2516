"""From a trained network to one ONNX file: a Scan over the measurements, any number of them, any batch.

The graph is written node by node, so that it holds nothing but the network (exporters add source paths and
versions) and the same weights always give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from bids_qmri.training.network import LIMIT, AnchoredNcde

OPSET, IR_VERSION = 20, 10
"""Read by every onnxruntime from 1.18 on."""

MAX_BYTES = 1_000_000


class Graph:
    """Nodes and constants in order of their use; every method returns the name of its result."""

    def __init__(self, prefix: str = "") -> None:
        # names of a body must differ from those around it
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{self.prefix}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: npt.NDArray[Any]) -> str:
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def tensor(self, value: Tensor) -> str:
        return self.constant(value.detach().numpy())

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def linear(self, layer: nn.Linear, x: str) -> str:
        return self.add("Gemm", x, self.tensor(layer.weight), self.tensor(layer.bias), transB=1)

    def mlp(self, layers: nn.Sequential, x: str) -> str:
        for layer in layers:
            if isinstance(layer, nn.Linear):
                x = self.linear(layer, x)
            else:
                x = self.add("Mul", x, self.add("Sigmoid", x))
        return x

    def scaled(self, x: str, mean: Tensor, scale: Tensor) -> str:
        return self.add("Div", self.add("Sub", x, self.tensor(mean)), self.tensor(scale))

    def chosen(self, x: str, indices: Sequence[int], axis: int, count: int) -> str:
        if tuple(indices) == tuple(range(count)):
            return x
        return self.add("Gather", x, self.integers(*indices), axis=axis)

    def named(self, x: str, name: str) -> None:
        self.nodes.append(helper.make_node("Identity", [x], [name], name=name))


def to_onnx(network: AnchoredNcde, channels: int, entries: int, card: Mapping[str, Any]) -> bytes:
    """Return a network as the bytes of an ONNX file, the same for the same network and card.

    Parameters
    ----------
    network
        What was trained.
    channels, entries
        Numbers C and Q of channels and context entries that the features have.
    card
        Stored as JSON in the metadata, key ``card``.
    """
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


def assemble(graph: Graph, channels: int, entries: int, quantities: int, card: Mapping[str, Any]) -> bytes:
    """Return the ONNX file of a graph from ``path`` and ``context`` to ``shift`` and ``spread``."""
    inputs = [typed("path", ["V", "N", channels]), typed("context", ["V", entries])]
    outputs = [typed(name, ["V", quantities]) for name in ("shift", "spread")]
    return file_content(graph, inputs, outputs, card)


def file_content(
    graph: Graph,
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    card: Mapping[str, Any],
) -> bytes:
    """Return the ONNX file of a graph with these ends, and `card` as JSON in its metadata."""
    body = helper.make_graph(graph.nodes, "network", inputs, outputs, graph.constants)
    model = helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="bids_qmri",
    )
    helper.set_model_props(model, {"card": json.dumps(card, sort_keys=True)})
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def typed(name: str, shape: list[str | int]) -> onnx.ValueInfoProto:
    """Return an input or output of numbers; a text in its shape stands for any size."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


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


def write_network(
    folder: Path,
    network: AnchoredNcde,
    sizes: tuple[int, int],
    card: Mapping[str, Any],
    cost: Mapping[str, Any],
) -> tuple[Path, Path]:
    """Write ``<name>.onnx`` and its card ``<name>.json``, and return both files.

    Parameters
    ----------
    folder
        Exists.
    network
        What was trained.
    sizes
        Numbers of channels and of context entries that the features have.
    card
        What the recipe determines; also stored in the ONNX file.
    cost
        What it took, which differs from one computer to the next and is in the JSON file alone.
    """
    return write_files(folder, to_onnx(network, *sizes, card), card, cost)


def write_files(
    folder: Path, content: bytes, card: Mapping[str, Any], cost: Mapping[str, Any]
) -> tuple[Path, Path]:
    """Write an ONNX file and its card, as `write_network` does, from the bytes of the file."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"the network takes {len(content)} bytes, more than {MAX_BYTES}")
    weights = folder / f"{card['name']}.onnx"
    weights.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    full = {**card, "weights": {"file": weights.name, "sha256": sha256, "bytes": len(content)}, "cost": cost}
    described = weights.with_suffix(".json")
    described.write_text(json.dumps(full, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return weights, described
