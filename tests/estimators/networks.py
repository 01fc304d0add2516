"""Networks with random weights and the interface of trained ones, for tests of everything around them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_qmri.estimators.networks.features import channels_of, context_of
from bids_qmri.estimators.posterior.box import quantities
from bids_qmri.physics.model import Model

COVERAGE: dict[str, dict[str, Any]] = {
    "vfa": {
        "measurements": [2, 12],
        "snr": [10, 3000],
        "flip_angle": [1, 40],
        "b1": [0.7, 1.3],
        "repetition_time": [0.002, 0.05],
        "bounds": {"t1": [0.05, 6.0]},
    },
    "ivim": {
        "measurements": [4, 32],
        "snr": [2, 500],
        "bvals": [0, 1500],
        "largest_b": [200, 1500],
        "bounds": {"d": [0.0, 5e-3], "dstar": [3e-3, 0.2], "f": [0.0, 1.0]},
    },
    "etofts": {
        "measurements": [8, 80],
        "snr": [3, 300],
        "interval": [1.0, 20.0],
        "arrival": [0.0, 60.0],
        "fixed": ["t0"],
        "bounds": {"kep": [0.01, 5.0], "ve": [0.01, 1.0], "vp": [0.0, 0.3], "t0": [0.0, 15.0]},
    },
    "irt1": {
        "measurements": [4, 16],
        "snr": [5, 500],
        "inversion_time": [0.02, 6.0],
        "bounds": {"t1": [0.05, 5.0], "efficiency": [0.5, 1.2]},
    },
    "mese": {
        "measurements": [3, 32],
        "snr": [5, 500],
        "echo_time": [0.005, 0.5],
        "bounds": {"t2": [0.003, 3.0]},
    },
    "epg": {
        "measurements": [3, 32],
        "snr": [5, 500],
        "echo_time": [0.005, 0.5],
        "refocusing_angle": [100, 180],
        "bounds": {"t2": [0.003, 3.0], "b1": [0.5, 1.0]},
    },
    "megre": {
        "measurements": [2, 32],
        "snr": [5, 500],
        "echo_time": [0.001, 0.2],
        "bounds": {"t2star": [5e-4, 0.5]},
    },
}


def card_of(model: Model, /, **changes: Any) -> dict[str, Any]:
    """Return the card of a network, with some fields changed."""
    card = {
        "format": 1,
        "name": f"random-{model.name}",
        "description": "Random weights",
        "model": model.name,
        "quantities": list(quantities(model)),
        "channels": list(channels_of(model)),
        "context": list(context_of(model)),
        "anchor": "map",
        "opset": 20,
        "ir_version": 10,
        "coverage": COVERAGE[model.name],
        "seed": 1,
    }
    return card | changes


def write_network(
    folder: Path, model: Model, /, *, scale: float = 0.3, opset: int = 20, inside: Any = None, **changes: Any
) -> Path:
    """Write a network that sums over the path, and its card; return the ONNX file.

    `scale` is the size of the weights of the shift: 0 gives back the anchor, with a spread of 1. `inside` is
    the card inside the file, if another one than beside it.
    """
    onnx = pytest.importorskip("onnx")
    helper, to_proto = onnx.helper, onnx.numpy_helper.from_array
    card = card_of(model, **changes)
    rng = np.random.default_rng(0)
    channels, entries, outputs = (len(card[key]) for key in ("channels", "context", "quantities"))
    weights = {
        "from_path": scale * rng.normal(size=(channels, outputs)),
        "from_context": scale / 10 * rng.normal(size=(entries, outputs)),
        "zero": np.zeros(()),
    }
    nodes = [
        helper.make_node("ReduceMean", ["path", "axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "from_path"], ["a"]),
        helper.make_node("MatMul", ["context", "from_context"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Tanh", ["c"], ["shift"]),
        helper.make_node("Mul", ["shift", "zero"], ["d"]),
        helper.make_node("Exp", ["d"], ["spread"]),
    ]
    constants = [to_proto(value.astype(np.float32), name) for name, value in weights.items()]
    constants.append(to_proto(np.array([1]), "axis"))
    shapes = {"path": ["V", "N", channels], "context": ["V", entries]}
    shapes |= {name: ["V", outputs] for name in ("shift", "spread")}
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, s) for name, s in shapes.items()]
    graph = helper.make_graph(nodes, "random", ends[:2], ends[2:], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    helper.set_model_props(proto, {"card": json.dumps(inside or card)})
    file = folder / f"{card['name']}.onnx"
    file.write_bytes(proto.SerializeToString())
    seal(file, card)
    return file


def ship(folder: Path, model: Model, monkeypatch: pytest.MonkeyPatch, /, **changes: Any) -> Path:
    """Make a network the one that comes with the package; return the ONNX file."""
    monkeypatch.setattr("bids_qmri.estimators.networks.network_file.weights_folder", lambda: folder)
    return write_network(folder, model, name=f"ncde-{model.name}", **changes)


def seal(file: Path, card: dict[str, Any]) -> None:
    """Write the card beside an ONNX file, with the hash of the file as it is."""
    weights = {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    file.with_suffix(".json").write_text(json.dumps(card | {"weights": weights}))
