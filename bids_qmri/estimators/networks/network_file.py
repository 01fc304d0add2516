"""Trained networks on disk: an ONNX file and, beside it, its card; checked before anything is computed.

The card says what the network is, which features it reads and what it was trained for; `training.card` writes
it, into the ONNX file as well. A file that differs in any of this from what the features give is refused by
name, because a network answers any input with plausible numbers. Called by `estimators.ncde`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.networks.contents import read_contents
from bids_qmri.estimators.networks.session import run_session, start_session
from bids_qmri.files import (
    NETWORK_LIMIT,
    OPTIONS_LIMIT,
    parse_json,
    parsed,
    read_bytes,
    read_text,
    require_object,
)
from bids_qmri.physics.model import Model

Float32Array = npt.NDArray[np.float32]
T = TypeVar("T")

FORMAT = 1
"""Version of the fields of a card that is understood here."""

Kind = Literal["any", "protocol", "scheme"]
"""What a network is for: any protocol of a model, one protocol, one set of b-values and directions."""

LABELS: Mapping[Kind, str] = {"any": "ncde", "protocol": "mlp", "scheme": "onnx"}
"""Labels of the estimators that use networks of each kind."""

JSON_ALONE = ("weights", "cost")
"""Fields that the card beside the ONNX file has and the one inside cannot have."""

TRAIN_AGAIN = "use the file and the card that one run of bids_qmri-train has written"


AT_ONCE = 512
"""Voxels whose hidden states stay in the cache from step to step; 4096 take half as long again each."""


@dataclass(frozen=True, eq=False)
class Network:
    """A loaded network.

    Parameters
    ----------
    file
        The ONNX file.
    card
        What the JSON file beside it says.
    session
        onnxruntime's; may be called from several threads at a time.
    """

    file: Path
    card: Mapping[str, Any]
    session: Any

    def run(self, path: Float32Array, context: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return shift and spread, each (V, K), of paths (V, N, C) and contexts (V, Q).

        Both are NaN in voxels where one of them is not finite, or a spread negative.

        Raises
        ------
        InputError
            The network fails, or answers in another shape.
        """
        shift, spread = np.empty((2, len(path), len(self.card["quantities"])), dtype=np.float32)
        for first in range(0, len(path), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            given = {"path": path[part], "context": context[part]}
            shift[part], spread[part] = run_session(
                self.session, self.file, ["shift", "spread"], given, shift[part].shape
            )
        # No answer is known better than exactly.
        bad = np.any(np.isnan(shift) | np.isnan(spread) | (spread < 0), axis=1)
        shift[bad] = spread[bad] = np.nan
        return shift, spread


def weights_folder() -> Path:
    """Return the folder of the networks that come with the package."""
    return Path(str(resources.files("bids_qmri"))) / "weights"


def kind_of_card(card: Mapping[str, Any]) -> Kind:
    """Return what a network is for; cards that do not say so are told by the fields that they have."""
    for kind in LABELS:
        if card.get("kind") == kind:
            return kind
    return "scheme" if "scheme" in card else "protocol" if "protocol" in card else "any"


@cache
def _shipped(folder: Path) -> dict[str, Path]:
    """Return the networks for any protocol in the folder of the package's own, by model."""
    cards = {path.with_suffix(".onnx"): read_card(path) for path in sorted(folder.glob("*.json"))}
    return {str(card["model"]): file for file, card in cards.items() if kind_of_card(card) == "any"}


def shipped_network(model_name: str) -> Path | None:
    """Return the ONNX file of a model's network for any protocol, None if none is shipped."""
    file = _shipped(weights_folder()).get(model_name)
    return file if file is not None and file.is_file() else None


@cache
def shipped_hashes(folder: Path) -> frozenset[str]:
    """Return the SHA-256 of the networks in the folder of the package's own."""
    cards = [read_card(path) for path in folder.glob("*.json")]
    return frozenset(str(card.get("weights", {}).get("sha256")) for card in cards)


def require_shipped_network(model_name: str) -> Path:
    """Return the ONNX file of a model's network for any protocol.

    Raises
    ------
    InputError
        If none is shipped.
    """
    file = shipped_network(model_name)
    if file is None:
        there = sorted(_shipped(weights_folder()))
        raise InputError(
            f"no network for {model_name} comes with this package",
            field="--estimators ncde",
            needed=f"a model that has one: {', '.join(there) or 'none has'}",
            fix="leave ncde out, or use lsq, map or bayes",
        )
    return file


def read_card(file: Path) -> dict[str, Any]:
    """Read the card beside an ONNX file.

    Raises
    ------
    InputError
        If there is none, or it is not one of this version.
    """
    path = file.with_suffix(".json")
    needed = "the card of the network"
    card = parsed(
        parse_json,
        read_text(path, OPTIONS_LIMIT, needed=needed, fix=TRAIN_AGAIN),
        path,
        needed=needed,
        fix=TRAIN_AGAIN,
    )
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        version = card.get("format") if isinstance(card, dict) else None
        raise InputError(
            f"is {version!r}",
            file=path,
            field="format",
            needed=f"a card of format {FORMAT}",
            fix=TRAIN_AGAIN,
        )
    if not isinstance(card.get("weights", {}), dict):
        raise InputError(
            "is no object", file=path, field="weights", needed="file and sha256", fix=TRAIN_AGAIN
        )
    return card


def card_of(file: Path) -> dict[str, Any]:
    """Read the card of any network: beside its ONNX file, or inside it where there is none.

    Raises
    ------
    InputError
        If the file is not there, or has no card.
    """
    if not file.is_file():
        raise InputError("is not a file", file=file, needed="an ONNX file with its card", fix=TRAIN_AGAIN)
    if file.with_suffix(".json").is_file():
        return read_card(file)
    content = read_weights(file, None)
    start_session(file, {}, content)
    try:
        card = parse_json(read_contents(content).metadata["card"])
    except (KeyError, ValueError) as error:
        raise InputError(
            f"has no readable card ({error}), and there is no {file.with_suffix('.json').name} beside it",
            file=file,
            field="card",
            needed="a card as JSON, beside the file or in its metadata, key 'card'",
            fix="docs/models.md says what a card holds",
        ) from error
    if not isinstance(card, dict):
        raise InputError("is no JSON object", file=file, field="card", needed="the card of a network")
    return card


def summary(file: Path) -> dict[str, Any]:
    """Return what a sidecar says about a network: name, file, hash, seed, and what it was trained for."""
    content = read_weights(file, None)
    card = read_card(file) if file.with_suffix(".json").is_file() else {}
    fields = {
        "Name": card.get("name"),
        "File": file.name,
        "SHA256": hashlib.sha256(content).hexdigest(),
        "Description": card.get("description"),
        "Seed": card.get("seed"),
        "Coverage": card.get("coverage"),
    }
    return {key: value for key, value in fields.items() if value is not None}


LOADERS: list[Any] = []
"""Functions that keep the networks that they have loaded."""


def kept(load: Callable[..., T]) -> Callable[..., T]:
    """Let a function load each network once per process, until `forget_networks`."""
    loader = cache(load)
    LOADERS.append(loader)
    return loader


@kept
def load_network(file: Path, model: Model) -> Network:
    """Load a network, once per process.

    Parameters
    ----------
    file
        The ONNX file; its card lies beside it with the suffix ``.json``.
    model
        What it must be for.

    Raises
    ------
    InputError
        If file and card do not belong together, onnxruntime cannot load the file, or they are not for this
        model and its features; the message names what differs.
    """
    card = read_card(file)
    content = read_weights(file, str(card.get("weights", {}).get("sha256")))
    _check_card(file.with_suffix(".json"), card, model)
    network = Network(file, card, start_session(file, card, content))
    _check_session(network)
    return network


def forget_networks() -> None:
    """Load networks anew when they are needed next; files of a user may have been replaced."""
    for cached in LOADERS:
        cached.cache_clear()


def read_weights(file: Path, needed: str | None) -> bytes:
    """Return the ONNX file, if it is the one of a hash.

    Parameters
    ----------
    file
        The ONNX file.
    needed
        Its SHA-256 according to the card beside it; None compares nothing.

    Raises
    ------
    InputError
        Naming what is wrong.
    """
    content = read_bytes(file, NETWORK_LIMIT, needed="an ONNX file", fix=TRAIN_AGAIN)
    seen = hashlib.sha256(content).hexdigest()
    if needed is not None and seen != needed:
        raise InputError(
            f"hash of the file is {seen}", file=file, field="sha256", needed=needed, fix=TRAIN_AGAIN
        )
    return content


def _check_card(path: Path, card: Mapping[str, Any], model: Model) -> None:
    """Compare what a network is for with what it will be given."""
    # Here, so that listing the shipped networks does without the numerics.
    from bids_qmri.estimators.networks.features import interface

    quantities, channels, context = interface(model)
    expected = {
        "model": model.name,
        "quantities": list(quantities),
        "channels": list(channels),
        "context": list(context),
    }
    for field, needed in expected.items():
        seen = card.get(field)
        if seen != needed:
            raise InputError(
                f"is {_spelled(seen)}", file=path, field=field, needed=_spelled(needed), fix=TRAIN_AGAIN
            )
    if card.get("anchor") not in ("map", "box"):
        raise InputError(f"is {card.get('anchor')!r}", file=path, field="anchor", needed="map or box")
    if not isinstance(card.get("coverage"), dict):
        raise InputError("is missing", file=path, field="coverage", needed="what the network was trained for")


def _spelled(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _check_session(network: Network) -> None:
    """Compare the card inside the ONNX file, and the sizes of inputs and outputs, with the card beside it."""
    try:
        inside = parse_json(network.session.get_modelmeta().custom_metadata_map.get("card", "{}"))
        require_object(inside)
    except ValueError as error:
        raise InputError(
            f"its card cannot be read ({error})", file=network.file, field="card", fix=TRAIN_AGAIN
        ) from error
    beside = {key: value for key, value in network.card.items() if key not in JSON_ALONE}
    if different := sorted(key for key in inside.keys() | beside if inside.get(key) != beside.get(key)):
        raise InputError(
            f"the card inside {network.file.name} differs in {', '.join(different)}",
            file=network.file.with_suffix(".json"),
            needed="equal cards",
            fix=TRAIN_AGAIN,
        )
    sizes = {name: len(network.card[name]) for name in ("channels", "context", "quantities")}
    expected = {"path": (3, sizes["channels"]), "context": (2, sizes["context"])}
    expected |= dict.fromkeys(("shift", "spread"), (2, sizes["quantities"]))
    ends = (*network.session.get_inputs(), *network.session.get_outputs())
    seen = {end.name: (len(end.shape), end.shape[-1]) for end in ends}
    if seen != expected:
        raise InputError(
            f"inputs and outputs are {seen}",
            file=network.file,
            needed=f"{expected}: name, number of axes, size of the last one",
            fix=TRAIN_AGAIN,
        )
