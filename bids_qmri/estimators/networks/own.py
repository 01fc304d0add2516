"""What a trained network is used for: its card says so. One's own networks, wherever they are given."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from bids_qmri import catalogue
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, get_estimator
from bids_qmri.estimators.networks.network_file import (
    LABELS,
    card_of,
    kind_of_card,
    load_network,
    read_card,
    read_weights,
    shipped_hashes,
    weights_folder,
)
from bids_qmri.estimators.networks.operators import require_allowed
from bids_qmri.estimators.networks.trial import try_out


@lru_cache(maxsize=64)
def network_use(file: Path) -> tuple[str, str]:
    """Return the model that a network is for, and the label of the estimator that uses it.

    Parameters
    ----------
    file
        The ONNX file, with its card beside it or in its metadata.

    Raises
    ------
    InputError
        If it has operators that no network needs, takes too much time or memory, or has no readable card, or
        one that names a model or a kind that nothing here knows.
    """
    if file.is_file():
        _try_out(file)
    card = card_of(file)
    model_name, label = str(card.get("model")), LABELS[kind_of_card(card)]
    if kind_of_card(card) != "scheme" and not file.with_suffix(".json").is_file():
        raise InputError(
            f"has no {file.with_suffix('.json').name} beside it",
            file=file,
            field="network",
            needed="the card that training wrote beside the network",
            fix="copy both files",
        )
    if model_name not in catalogue.model_names():
        raise InputError(
            f"is a network for {model_name!r}",
            file=file,
            field="network",
            needed=f"a network for one of {', '.join(catalogue.model_names())}",
        )
    labels = catalogue.find_entry(model_name)[1].estimators
    if label not in labels:
        raise InputError(
            f"is a network of the kind {kind_of_card(card)!r} for {model_name}",
            file=file,
            field="network",
            needed=f"one for an estimator that {model_name} has: {', '.join(labels)}",
        )
    if kind_of_card(card) != "scheme":
        load_network(file, catalogue.get_model(model_name))
    return model_name, label


def _try_out(file: Path) -> None:
    """Refuse a network that must not run here, or cannot within limits; those of the package have."""
    card = read_card(file) if file.with_suffix(".json").is_file() else {}
    content = read_weights(file, card.get("weights", {}).get("sha256"))
    if hashlib.sha256(content).hexdigest() in shipped_hashes(weights_folder()):
        return
    with suppress(ValueError):  # what is no ONNX file is said where it is loaded
        require_allowed(file, content)
        try_out(file, content)


def network_estimator(file: Path, **options: Any) -> Estimator:
    """Return the estimator that uses a network, with options such as ``threads``; raises as `network_use`."""
    return get_estimator(*network_use(file), network=file, **options)
