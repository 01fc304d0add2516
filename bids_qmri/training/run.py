"""From a recipe to a network and its card: simulate, train, validate, export."""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bids_qmri.estimators.posterior.box import quantities
from bids_qmri.estimators.networks.features import CHANNELS, CONTEXT
from bids_qmri.training.card import make_card
from bids_qmri.training.export import write_network
from bids_qmri.training.inputs import channels_and_entries, grid_shifts
from bids_qmri.training.loop import Checkpointing, train, warmup_cosine
from bids_qmri.training.loss import anchored_loss, to_tensors
from bids_qmri.training.network import AnchoredNcde, count_weights
from bids_qmri.training.pool import TRAINING, VALIDATION, Batches, Pool, Rows, make_pool
from bids_qmri.training.recipe import Recipe, TrainingOptions
from bids_qmri.training.validate import validate

LOGGER = logging.getLogger("bids_qmri")


def train_recipe(recipe: Recipe, text: str, folder: Path, processes: int = 1) -> tuple[Path, Path]:
    """Train the network of a recipe, and return its ONNX file and its card.

    A checkpoint ``<name>.npz`` is left in `folder`; a training that was interrupted goes on from it.

    Parameters
    ----------
    recipe
        What to train, seed included.
    text
        The recipe as it is written, for the card.
    folder
        Where files go; made if it is not there.
    processes
        Processes that simulate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.training.threads)
    held_out = make_pool(recipe, VALIDATION, recipe.data.validation_groups, processes)
    pool = make_pool(recipe, TRAINING, recipe.data.groups, processes)
    simulated = cpu_seconds()
    LOGGER.info("simulated %d curves in %.0f CPU-s", sum(map(len, pool.values())), simulated)
    network = new_network(recipe, pool)
    checkpointing = Checkpointing(
        folder / f"{recipe.name}.npz", f"{recipe.name} seed {recipe.seed} {recipe.digest()}"
    )
    fit_pool(recipe, network, pool, checkpointing)
    table = validate(network, held_out, quantities(recipe.forward), anchor=recipe.network.anchor)
    LOGGER.info("validation: %s", table)
    card = make_card(recipe, text, count_weights(network), table)
    cost: Mapping[str, Any] = {
        "cpu_seconds": round(cpu_seconds()),
        "simulation_cpu_seconds": round(simulated),
    }
    sizes = len(CHANNELS[recipe.model]), len(CONTEXT[recipe.model])
    return write_network(folder, network, sizes, card, cost)


def new_network(recipe: Recipe, pool: Pool) -> AnchoredNcde:
    """Return an untrained network whose inputs are scaled to those of a pool."""
    torch.manual_seed(recipe.seed)
    chosen = channels_and_entries(recipe.model, anchor=recipe.network.anchor)
    grid = grid_shifts(recipe.model, anchor=recipe.network.anchor)
    network = AnchoredNcde(recipe.network, *chosen, len(quantities(recipe.forward)), grid)
    scale_inputs(network, pool)
    return network


def scale_inputs(network: AnchoredNcde, pool: Pool) -> None:
    """Scale the inputs of a network to those of a pool."""
    path = np.concatenate([rows.path[::16].reshape(-1, 1, rows.path.shape[2]) for rows in pool.values()])
    context = np.concatenate([rows.context[::16] for rows in pool.values()])
    network.standardise(torch.from_numpy(path), torch.from_numpy(context))


def fit_pool(
    recipe: Recipe, network: AnchoredNcde, pool: Pool, checkpointing: Checkpointing | None = None
) -> None:
    """Train a network on a pool with the options of a recipe."""

    def loss(trained: nn.Module, rows: Rows) -> Tensor:
        batch = to_tensors(rows, anchor=recipe.network.anchor, snr_power=recipe.data.snr_power)
        return anchored_loss(trained, batch)

    fit_rows(recipe.training, recipe.seed, network, pool, loss, checkpointing)


def fit_rows(
    options: TrainingOptions,
    seed: int,
    network: nn.Module,
    pool: Pool,
    loss: Callable[[nn.Module, Rows], Tensor],
    checkpointing: Checkpointing | None = None,
) -> None:
    """Train any network on a pool, to the least of any loss of its rows."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=options.decay)
    batches = Batches(pool, options.batch, seed)
    rate = warmup_cosine(options.rate, options.warmup, options.steps)
    train(
        network,
        batches,
        loss,
        optimiser,
        rate,
        options.steps,
        clip=options.clip,
        checkpointing=checkpointing,
    )


def cpu_seconds() -> float:
    """Return the processor time of this process and of those it started and that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
