"""Which estimators a run asks for, as objects with their options: by word, by default, by network file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bids_qmri import catalogue
from bids_qmri.errors import UsageError
from bids_qmri.estimators.base import Estimator, get_estimator
from bids_qmri.estimators.networks.network_file import LABELS, shipped_network
from bids_qmri.estimators.networks.own import network_use
from bids_qmri.physics.model import Model
from bids_qmri.workflows.config import RunConfig


@dataclass(frozen=True)
class Choice:
    """A model and an estimator of it."""

    model: Model
    estimator: Estimator


def choices_for(config: RunConfig, model_name: str) -> tuple[list[Choice], dict[str, str]]:
    """Return the estimators that a run asks for of a model, and why others that it asks for are not used.

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
    options = {"seed": config.random_seed}
    choices: list[Choice] = []
    left_out: dict[str, str] = {}
    for label in catalogue.find_entry(model_name)[1].estimators:
        if label not in labels:
            continue
        estimator = get_estimator(model_name, label, network=own.get(label), **options)
        if estimator.needs_file and label not in own:
            given = ", ".join(f"{file.name} is one for {network_use(file)[0]}" for file in config.networks)
            left_out[f"{model_name} {label}"] = f"no network for it is given{f': {given}' if given else ''}"
        else:
            choices.append(Choice(model, estimator))
    return choices, left_out


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
                    fix="run the program once for each",
                )
            found[label] = file
    return found
