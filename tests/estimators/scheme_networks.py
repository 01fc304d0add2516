"""Networks for one diffusion scheme with weights of our choice, for tests of everything around them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_qmri.physics.diffusion import DiffusionProtocol


def scheme() -> DiffusionProtocol:
    """Return 2 + 6 x 700 + 12 x 2000, directions at random."""
    directions = np.random.default_rng(5).standard_normal((20, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions[[0, 10]] = 0.0
    bvals = np.insert(np.repeat([700.0, 2000.0], [6, 12]), [0, 9], 0.0)
    return DiffusionProtocol(bvals, directions)


def card_of(protocol: DiffusionProtocol, **changes: Any) -> dict[str, Any]:
    """Return the card of a network, with some fields changed."""
    table = {
        "bvals": protocol.bvals.tolist(),
        "bvecs": protocol.bvecs.tolist(),
        "b0_threshold": protocol.b0_threshold,
    }
    card = {
        "format": 1,
        "name": "noddi-random",
        "model": "noddi",
        "quantities": ["odi", "ndi", "fwf"],
        "normalisation": "mean b0",
        "scheme": table,
        "d_par": 1.7e-3,
        "d_iso": 3.0e-3,
    }
    return card | changes


def write(folder: Path, /, *, inputs: int | None = None, card: Any = None, **changes: Any) -> Path:
    """Write a network that clips a linear function of the signals to 0 ... 1; return the ONNX file."""
    onnx = pytest.importorskip("onnx")
    helper, to_proto = onnx.helper, onnx.numpy_helper.from_array
    protocol = scheme()
    inputs = protocol.n_measurements if inputs is None else inputs
    weights = np.random.default_rng(6).normal(size=(inputs, 3)).astype(np.float32) / inputs
    nodes = [
        helper.make_node("MatMul", ["anything", "weights"], ["linear"]),
        helper.make_node("HardSigmoid", ["linear"], ["answer"], alpha=1.0, beta=0.5),
    ]
    shapes = {"anything": ["V", inputs], "answer": ["V", 3]}
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, s) for name, s in shapes.items()]
    graph = helper.make_graph(nodes, "random", ends[:1], ends[1:], [to_proto(weights, "weights")])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    if card is None:
        card = json.dumps(card_of(protocol, **changes))
    helper.set_model_props(proto, {"card": card})
    file = folder / "random.onnx"
    file.write_bytes(proto.SerializeToString())
    return file
