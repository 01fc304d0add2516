"""Which estimators a run asks for, as objects with their options: by word, by default, by network file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bids_qmri import catalogue
from bids_qmri.errors import UsageError
from bids_qmri.estimators.base import Estimator, get_estimator
from bids_qmri.estimators.networks.network_file import LABELS, card_of, kind_of_card, shipped_network
from bids_qmri.physics.model import Model
from bids_qmri.workflows.config import RunConfig


@dataclass(frozen=True)
class Choice:
    """A model and an estimator of it."""

    model: Model
    estimator: Estimator


def choices_for(config: RunConfig, model_name: str) -> list[Choice]:
    """Return the estimators that a run asks for of a model, in the order of the catalogue.

    Raises
    ------
    UsageError
        If two networks are given for one model and label.
    InputError
        If a network has no readable card.
    """
    model = catalogue.get_model(model_name, **config.settings.get(model_name, {}))
    own = networks_of(config.networks, model_name)
    words = config.estimators or default_words(model_name)
    labels = {*catalogue.labels_for(model_name, words, config.prefer), *own}
    options = {"seed": config.random_seed, "threads": config.omp_nthreads}
    return [
        Choice(model, get_estimator(model_name, label, network=own.get(label), **options))
        for label in catalogue.find_entry(model_name)[1].estimators
        if label in labels
    ]


def default_words(model_name: str) -> tuple[str, ...]:
    """Return the estimators of a model unless others are asked for: a network where one is shipped."""
    return ("lsq",) if shipped_network(model_name) is None else ("lsq", LABELS["any"])


def networks_of(files: tuple[Path, ...], model_name: str) -> dict[str, Path]:
    """Return those of some network files that are for a model, by the label of their estimator.

    Raises
    ------
    UsageError
        If two are for the same model and label.
    """
    found: dict[str, Path] = {}
    for file in files:
        trained_for, label = network_use(file)
        if trained_for == model_name:
            if label in found:
                raise UsageError(
                    f"{found[label].name} and {file.name} are both for {model_name}, estimator {label}",
                    field="--network",
                    needed="one network per model and kind",
                    way_out="run the program once for each",
                )
            found[label] = file
    return found


@lru_cache(maxsize=64)
def network_use(file: Path) -> tuple[str, str]:
    """Return the model that a network is for, and the label of the estimator that uses it.

    Raises
    ------
    UsageError
        If its card names a model or a kind that nothing here knows.
    InputError
        If it has no readable card.
    """
    card = card_of(file)
    model_name, label = str(card.get("model")), LABELS[kind_of_card(card)]
    if model_name not in catalogue.model_names():
        raise UsageError(
            f"is a network for {model_name!r}",
            file=file,
            field="--network",
            needed=f"a network for one of {', '.join(catalogue.model_names())}",
        )
    if label not in catalogue.find_entry(model_name)[1].estimators:
        raise UsageError(
            f"is a network of the kind {kind_of_card(card)!r} for {model_name}",
            file=file,
            field="--network",
            needed=f"one whose estimator {model_name} has: "
            f"{', '.join(catalogue.find_entry(model_name)[1].estimators)}",
        )
    return model_name, label
