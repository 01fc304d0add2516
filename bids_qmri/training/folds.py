"""Cross-validation by participant: networks that are judged on others, and one that was tuned with all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bids_qmri.errors import UsageError
from bids_qmri.estimators.networks.network_file import forget_networks
from bids_qmri.training.card import make_card
from bids_qmri.training.export import count_weights, write_files
from bids_qmri.training.finetune import (
    Simulations,
    Tuned,
    Tuning,
    kind_of,
    mean_of,
    parts_of,
    simulations,
    tune,
)
from bids_qmri.training.judge import JUDGE_STREAM, Judged, Summary, judge, summarised
from bids_qmri.training.loop import cpu_seconds
from bids_qmri.training.measured import MeasuredScan, data_hash, participant_hashes
from bids_qmri.training.start import Start, load_start, write_content
from bids_qmri.training.validate import digits

LOGGER = logging.getLogger("bids_qmri")

MOST_FOLDS = 5
"""Unless more are asked for; with as many participants or fewer, each is left out once."""

FOLD_STREAM, ALL = 41, -1
"""Random stream of the folds; number of the network that is tuned with all participants."""

ENDING = "-tuned"


@dataclass(frozen=True, eq=False)
class Fold:
    """A network that was not tuned with some participants, and how it does with them.

    Parameters
    ----------
    held_out
        Labels of these.
    tuned, file
        The network.
    judged
        Errors against references.
    prediction
        Loss over measurements that were not read, after over before; None where all must be read.
    """

    held_out: tuple[str, ...]
    tuned: Tuned
    file: Path
    judged: tuple[Judged, ...]
    prediction: float | None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a fine-tuning found and wrote.

    Parameters
    ----------
    start, how
        The network that was tuned, and options.
    scans
        Voxels.
    folds
        Networks that are judged.
    tuned, file, card
        The network that was tuned with all participants, and its files.
    cost
        CPU time in s.
    """

    start: Start
    how: Tuning
    scans: tuple[MeasuredScan, ...]
    folds: tuple[Fold, ...]
    tuned: Tuned
    file: Path
    card: Path
    cost: float

    @property
    def summary(self) -> list[Summary]:
        """Ratios of errors after and before, means over participants."""
        return summarised([one for fold in self.folds for one in fold.judged])


def split(labels: Sequence[str], count: int | None, seed: int) -> list[tuple[str, ...]]:
    """Return the participants of each fold.

    Raises
    ------
    UsageError
        If there cannot be so many folds.
    """
    count = min(MOST_FOLDS, len(labels)) if count is None else count
    if not 2 <= count <= len(labels):
        raise UsageError(f"is {count}", field="--folds", needed=f"2 to {len(labels)}, a fold per participant")
    order = np.random.default_rng([seed, FOLD_STREAM]).permutation(len(labels))
    return [tuple(sorted(labels[i] for i in part)) for part in np.array_split(order, count)]


def cross_validate(
    start: Start,
    scans: Sequence[MeasuredScan],
    how: Tuning,
    folder: Path,
    folds: int | None = None,
    seed: int = 0,
) -> Outcome:
    """Tune a network for every fold and with all participants; write the networks and their cards.

    Parameters
    ----------
    start
        The network.
    scans
        Of all participants.
    how
        Options.
    folder
        Where networks go.
    folds
        How many; None: one per participant, `MOST_FOLDS` at most.
    seed
        Of folds, voxels and parts.

    Raises
    ------
    InputError
        If a network has forgotten what it knew.
    """
    begun, labels = cpu_seconds(), list(dict.fromkeys(scan.participant for scan in scans))
    parts = split(labels, folds, seed)
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    known = simulations(start.recipe, how)
    found = []
    for number, held_out in enumerate(parts, start=1):
        LOGGER.info("fold %d: without %s", number, ", ".join(f"sub-{label}" for label in held_out))
        found.append(_fold(start, scans, known, how, folder, (number, held_out, seed)))
    LOGGER.info("all participants")
    tuned = tune(start, scans, known, how, (seed, len(labels)))
    cost = cpu_seconds() - begun
    facts = {"folds": [_of_fold(fold, participant_hashes(scans)) for fold in found]}
    file, card = _written(start, tuned, scans, how, folder, (ENDING, seed, cost), facts)
    return Outcome(start, how, tuple(scans), tuple(found), tuned, file, card, cost)


def _fold(
    start: Start,
    scans: Sequence[MeasuredScan],
    known: Simulations,
    how: Tuning,
    folder: Path,
    which: tuple[int, tuple[str, ...], int],
) -> Fold:
    number, held_out, seed = which
    others = [scan for scan in scans if scan.participant not in held_out]
    tuned = tune(start, others, known, how, (seed, number - 1))
    name = f"{ENDING}-fold{number}"
    file, card = _written(start, tuned, others, how, folder, (name, seed, 0.0), {})
    kind = kind_of(start.recipe)
    before, after = (partial(kind.estimate, one) for one in (start, load_start(card)))
    left_out = [scan for scan in scans if scan.participant in held_out]
    least = kind.least_measurements(start.recipe)
    ratio = _prediction(start, tuned, left_out, how, seed)
    judged = judge(start.recipe.forward, left_out, least, before, after)
    return Fold(held_out, tuned, file, tuple(judged), ratio)


def _prediction(
    start: Start, tuned: Tuned, left_out: Sequence[MeasuredScan], how: Tuning, seed: int
) -> float | None:
    """Return the loss over measurements that were not read, after over before; None: there are none."""
    rng, how = np.random.default_rng([seed, JUDGE_STREAM]), replace(how, target="rest")
    parts = [part for some in parts_of(start.recipe, left_out, how, rng) for part in some]
    if not parts:
        return None
    after, before = (mean_of(start.recipe, one, parts, how) for one in (tuned.network, start.network))
    return after / before


def _written(
    start: Start,
    tuned: Tuned,
    scans: Sequence[MeasuredScan],
    how: Tuning,
    folder: Path,
    which: tuple[str, int, float],
    facts: dict[str, Any],
) -> tuple[Path, Path]:
    """Write a network and its card; return both files."""
    ending, seed, cost = which
    recipe, parts = start.recipe, import_module(start.recipe.network.module)
    accuracy = parts.accuracy(recipe, tuned.network, tuned.known.judge)
    base = make_card(recipe, parts.fields(recipe), count_weights(tuned.network), accuracy)
    # a tuned network may be tuned again
    name = str(start.card["name"]).split(ENDING)[0] + ending
    card = base | {
        "name": name,
        "description": f"{recipe.description}; fine-tuned on measured voxels",
        "finetuned": {
            "start": {"name": start.card["name"], "sha256": start.sha256},
            "participants": sorted(participant_hashes(scans).values()),
            "data_sha256": data_hash(scans),
            "voxels": sum(len(scan.signal) for scan in scans),
            "seed": seed,
            "options": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(how).items()},
            "epoch": tuned.kept.number,
            "simulated_over_start": {k: digits(v) for k, v in tuned.simulated.items()},
            **facts,
        },
    }
    content, file_ending = write_content(start, tuned.network, card)
    written = write_files(folder, content, card, {"cpu_seconds": round(cost)}, file_ending)
    forget_networks()
    return written


def _of_fold(fold: Fold, hashes: dict[str, str]) -> dict[str, Any]:
    """Return what the card says of a fold: who was left out, and errors over those of the start."""
    return {
        "held_out": [hashes[label] for label in fold.held_out],
        "network": fold.file.name,
        "epoch": fold.tuned.kept.number,
        "prediction_over_start": None if fold.prediction is None else digits(fold.prediction),
        "mse_over_start": [
            {**asdict(replace(one, participant=hashes[one.participant])), "ratio": digits(one.ratio)}
            for one in fold.judged
        ],
    }
