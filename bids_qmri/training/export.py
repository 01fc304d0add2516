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
