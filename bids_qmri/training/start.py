"""A trained network, read back from its file into the module that trained it, to be trained further.

The exporter says where each weight goes: a network full of markers is exported, and where a marker comes out,
the weight of the file goes in. Nothing is assumed of the order of constants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from bids_qmri import catalogue
from bids_qmri.errors import InputError
from bids_qmri.estimators.networks.features import interface
from bids_qmri.estimators.networks.network_file import (
    kind_of_card,
    load_network,
    read_card,
    read_weights,
)
from bids_qmri.training.anchored import AnchoredNcde, grid_shifts, kept, to_onnx
from bids_qmri.training.recipe import Recipe, parse_recipe
from bids_qmri.training.spline import StudyNcde

FIRST_MARKER = 1000.0
"""No constant of a graph is as large."""

TRIALS, LENGTH = 64, 6
"""Voxels and measurements by which a network is compared with its file."""

ROUNDING = 2e-4
"""Largest difference of the two, relative to 1 and to the answer: that of float32 in another order."""

WAY_OUT = "fine-tune a network of a recipe ncde-* or kuppens2025-*, or train this one anew"


@dataclass(frozen=True, eq=False)
class Start:
    """What a fine-tuning starts from.

    Parameters
    ----------
    file, sha256
        The file of the weights, and its hash.
    card, recipe
        What it is, and how it was made.
    network
        It.
    """

    file: Path
    sha256: str
    card: Mapping[str, Any]
    recipe: Recipe
    network: nn.Module


def load_start(file: Path) -> Start:
    """Load a network that `bids_qmri-train` wrote for any protocol.

    Parameters
    ----------
    file
        The weights (``.onnx``, ``.npz``), or the card (``.json``).

    Raises
    ------
    InputError
        The file is not there, not what its card says, or of a kind that cannot be tuned.
    """
    stem = file.name.removesuffix(".onnx").removesuffix("-weights.npz").removesuffix(".json")
    card = read_card(file.with_name(f"{stem}.json"))
    weights = card.get("weights", {})
    file = file.with_name(str(weights.get("file", f"{stem}.onnx")))
    recipe = _recipe(file, card)
    content = read_weights(file, str(weights.get("sha256")))
    load = _from_onnx if recipe.data.rows == "features" else _from_arrays
    return Start(file, hashlib.sha256(content).hexdigest(), card, recipe, load(file, recipe, content).eval())


def _recipe(file: Path, card: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a network that can be tuned."""
    needed = "a network for any protocol of a technique, of one voxel's measurements"
    if not isinstance(card.get("recipe"), str):
        raise InputError("its card holds no recipe", file=file, field="recipe", needed=needed, fix=WAY_OUT)
    if (kind := kind_of_card(card)) != "any":
        seen = f"{card.get('name')} is a network for one {kind} of {card.get('model')}"
        raise InputError(seen, file=file, field="kind", needed=needed, fix=WAY_OUT)
    recipe = parse_recipe(card["recipe"], card.get("set")).with_seed(card.get("seed"))
    model = recipe.model
    if recipe.data.rows == "features" and catalogue.part(model, "features", "INTERFACE") is not None:
        seen = f"{recipe.file_name} reads features of whole shells, which no part of a protocol has"
        raise InputError(seen, file=file, field="model", needed=needed, fix=WAY_OUT)
    return recipe


def _from_arrays(file: Path, recipe: Recipe, content: bytes) -> StudyNcde:
    network = StudyNcde(recipe.network, len(recipe.forward.parameters))
    with np.load(file, allow_pickle=False) as arrays:
        network.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    return network


def _from_onnx(file: Path, recipe: Recipe, content: bytes) -> AnchoredNcde:
    network = anchored_from_onnx(recipe, content)
    _require_same(file, recipe, network)
    return network


def anchored_from_onnx(recipe: Recipe, content: bytes) -> AnchoredNcde:
    """Return the network of a recipe with the weights of its ONNX file."""
    names, channels, context = interface(recipe.forward)
    anchor = recipe.network.anchor
    chosen = kept(channels, anchor=anchor), kept(context, anchor=anchor)
    network = AnchoredNcde(recipe.network, *chosen, len(names), grid_shifts(context, anchor=anchor))
    state = network.state_dict()
    for number, value in enumerate(state.values()):
        value.fill_(FIRST_MARKER + number)
    marked = constants(to_onnx(network, len(channels), len(context), {}))
    stored = constants(content)
    places = {
        round(float(value.flat[0]) - FIRST_MARKER): name
        for name, value in marked.items()
        if value.dtype == np.float32 and value.size and value.flat[0] >= FIRST_MARKER
    }
    found = {}
    for number, (key, value) in enumerate(state.items()):
        weights = stored.get(places.get(number, ""))
        if weights is None or weights.shape != tuple(value.shape):
            raise InputError(f"weights of {key} are not in the file", needed="the network of its recipe")
        found[key] = torch.from_numpy(weights.copy())
    network.load_state_dict(found)
    return network


def constants(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the constants of an ONNX file, those of the bodies of its loops included, by name."""
    return {one.name: numpy_helper.to_array(one) for one in _tensors(onnx.load_from_string(content).graph)}


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _tensors(attribute.g)


def _require_same(file: Path, recipe: Recipe, network: AnchoredNcde) -> None:
    """Refuse a file whose answers are not those of the network that was read from it."""
    rng = np.random.default_rng(0)
    loaded = load_network(file, recipe.forward)
    sizes = [len(loaded.card[name]) for name in ("channels", "context")]
    # on the scale of what it was trained with: elsewhere states grow, and rounding with them
    path = rng.standard_normal((TRIALS, LENGTH, sizes[0])).astype(np.float32)
    path[..., network.channels] *= network.path_scale.numpy()
    path[..., network.channels] += network.path_mean.numpy()
    context = rng.standard_normal((TRIALS, sizes[1])).astype(np.float32)
    context[:, network.entries] *= network.context_scale.numpy()
    context[:, network.entries] += network.context_mean.numpy()
    with torch.inference_mode():
        ours = network(torch.from_numpy(path), torch.from_numpy(context))
    for mine, theirs in zip(ours, loaded.run(path, context), strict=True):
        if not np.allclose(mine.numpy(), theirs, rtol=ROUNDING, atol=ROUNDING):
            raise InputError(
                "answers otherwise than the network that its card describes",
                file=file,
                needed="weights of the recipe on the card",
                fix="use the file and the card that one run of bids_qmri-train has written",
            )


def write_content(start: Start, network: nn.Module, card: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return the bytes of a network's file and the ending of its name."""
    parts = import_module(start.recipe.network.module)
    content: bytes = parts.content(start.recipe, network, card)
    return content, str(getattr(parts, "ENDING", ".onnx"))
