"""From a recipe to a network and its card: simulate, train, test, write; one way for all of them.

What differs between networks is in the module that the recipe's network part names (`parts`), as functions:
``build(recipe, pool)`` returns an untrained one, ``loss(recipe, steps)`` what it is trained to lower,
``accuracy(recipe, network, held_out)`` and ``fields(recipe)`` what its card says, and
``content(recipe, network, card)`` the bytes of its file (``ENDING`` of its name, if it is not an ONNX file).
"""

from __future__ import annotations

import hashlib
import json
import logging
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bids_qmri.errors import UsageError
from bids_qmri.training.card import make_card
from bids_qmri.training.export import count_weights, write_files
from bids_qmri.training.loop import Checkpointing, Kept, cpu_seconds, spent_on
from bids_qmri.training.loop import train as loop
from bids_qmri.training.pool import Pool, make_pools
from bids_qmri.training.recipe import Recipe
from bids_qmri.training.validate import CHUNK, digits

LOGGER = logging.getLogger("bids_qmri")


def train(recipe: Recipe, folder: Path, processes: int = 1) -> tuple[Path, Path]:
    """Train the network of a recipe, and return its file and its card.

    A network that is there already is not trained again. A checkpoint ``<name>.npz`` is left in `folder`: a
    training that was interrupted goes on from it. So many `processes` simulate.

    Raises
    ------
    UsageError
        If no scheme is given, or it cannot determine the parameters.
    """
    if recipe.protocol is None:
        needed = "b-values and directions: --set scheme.bval=FILE scheme.bvec=FILE"
        raise UsageError("no scheme is given", field="scheme", needed=needed)
    name, parts = recipe.file_name, import_module(recipe.network.module)
    if (there := finished(recipe, folder)) is not None:
        LOGGER.info("trained before by this recipe: %s", there[0])
        return there
    LOGGER.info("%s: %s", name, recipe.description)
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.training.threads)
    pool, held_out = make_pools(recipe, processes)
    simulated = cpu_seconds()
    LOGGER.info("simulated %d curves in %.0f CPU-s", sum(map(len, pool.values())), simulated)
    torch.manual_seed(recipe.seed)
    tag = f"{name} seed {recipe.seed} {recipe.digest()}"
    file = folder / f"{name}.npz"
    checkpointing = Checkpointing(file, tag, spent_on(file))
    kept = fit(recipe, parts.build(recipe, pool), pool, held_out, checkpointing)
    network = kept.best if isinstance(kept, Kept) else kept
    accuracy = parts.accuracy(recipe, network, held_out)
    if isinstance(kept, Kept):
        accuracy |= {"loss": digits(kept.best_loss.item()), "epoch": int(kept.best_epoch)}
    LOGGER.info("validation: %s", accuracy)
    card = make_card(recipe, parts.fields(recipe), count_weights(network), accuracy)
    spent = checkpointing.earlier + cpu_seconds()
    cost = {"cpu_seconds": round(spent), "simulation_cpu_seconds": round(simulated)}
    content, ending = parts.content(recipe, network, card), getattr(parts, "ENDING", ".onnx")
    return write_files(folder, content, card, cost, ending)


def fit(
    recipe: Recipe, network: nn.Module, pool: Pool, held_out: Pool, checkpointing: Checkpointing | None = None
) -> nn.Module:
    """Train a network on a pool, and return it, as `Kept` where the schedule keeps the best of its epochs."""
    schedule = recipe.training
    steps = schedule.steps_for(pool)
    loss = import_module(recipe.network.module).loss(recipe, steps)
    trained, after = network, None
    if schedule.keeps_best:
        trained = kept = Kept(network)
        per_epoch = steps // schedule.epochs

        def after(step: int) -> None:
            if step % per_epoch == 0:
                kept.consider(mean_loss(network, held_out, loss, step), step // per_epoch)

    name, options = schedule.optimiser()
    optimiser = getattr(torch.optim, name)(network.parameters(), **options)
    how: dict[str, Any] = {"clip": schedule.clip, "after": after, "checkpointing": checkpointing}
    loop(trained, schedule.source(pool, recipe.seed), loss, optimiser, schedule.rate_at, steps, **how)
    return trained


def mean_loss(network: nn.Module, held_out: Pool, loss: Any, step: int) -> float:
    """Return the mean loss over all rows."""
    parts = [part for rows in held_out.values() for part in rows.parts(CHUNK)]
    with torch.inference_mode():
        losses = [loss(network, part, step).item() for part in parts]
    return float(np.average(losses, weights=[len(part) for part in parts]))


def finished(recipe: Recipe, folder: Path) -> tuple[Path, Path] | None:
    """Return the files of a recipe's network if both are there and belong together."""
    card = folder / f"{recipe.file_name}.json"
    try:
        found = json.loads(card.read_text(encoding="utf-8"))
        file = folder / found["weights"]["file"]
        same = hashlib.sha256(file.read_bytes()).hexdigest() == found["weights"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (file, card) if same and found.get("recipe_digest") == recipe.digest() else None
