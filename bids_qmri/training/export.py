"""From a trained network to one file with its card, and the nodes that all networks in ONNX are made of.

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

from bids_qmri.estimators.networks.features import interface
from bids_qmri.training.recipe import Recipe

OPSET, IR_VERSION = 20, 10
"""Read by every onnxruntime from 1.18 on."""

ONNX_FIELDS = {"opset": OPSET, "ir_version": IR_VERSION}
"""What the cards of all networks in ONNX say."""

MAX_BYTES = 1_000_000

Ends = Mapping[str, list[str | int]]
"""Names and shapes of inputs or outputs; a text in a shape stands for any size."""


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
    inputs: Ends = {"path": ["V", "N", channels], "context": ["V", entries]}
    return file_content(graph, inputs, {name: ["V", quantities] for name in ("shift", "spread")}, card)


def file_content(graph: Graph, inputs: Ends, outputs: Ends, card: Mapping[str, Any]) -> bytes:
    """Return the ONNX file of a graph with these ends, and `card` as JSON in its metadata."""
    ends = [[typed(*end) for end in side.items()] for side in (inputs, outputs)]
    body = helper.make_graph(graph.nodes, "network", ends[0], ends[1], graph.constants)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=IR_VERSION, producer_name="bids_qmri")
    helper.set_model_props(model, {"card": json.dumps(card, sort_keys=True)})
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def typed(name: str, shape: list[str | int]) -> onnx.ValueInfoProto:
    """Return an input or output of numbers; a text in its shape stands for any size."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def feature_fields(recipe: Recipe, *, anchor: bool) -> dict[str, Any]:
    """Return what cards of networks say that read features."""
    names = zip(("quantities", "channels", "context"), interface(recipe.forward), strict=True)
    return {key: list(value) for key, value in names} | {"anchor": "map" if anchor else "box"} | ONNX_FIELDS


def count_weights(network: nn.Module) -> int:
    """Return the number of trained values."""
    return sum(p.numel() for p in network.parameters())


def write_files(
    folder: Path, content: bytes, card: Mapping[str, Any], cost: Mapping[str, Any], ending: str = ".onnx"
) -> tuple[Path, Path]:
    """Write ``<name>.onnx``, or with another ending, and its card ``<name>.json``; return both files.

    The card is what the recipe determines; the cost differs from one computer to the next, and is in the JSON
    file alone.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"the network takes {len(content)} bytes, more than {MAX_BYTES}")
    weights, described = (folder / f"{card['name']}{end}" for end in (ending, ".json"))
    weights.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    full = {**card, "weights": {"file": weights.name, "sha256": sha256, "bytes": len(content)}, "cost": cost}
    described.write_text(json.dumps(full, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return weights, described
