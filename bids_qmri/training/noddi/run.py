"""From a recipe to a network for any multi-shell protocol and its card."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import torch

from bids_qmri.techniques.noddi.zonal import CHANNELS, CONTEXT, QUANTITIES
from bids_qmri.training.export import write_network
from bids_qmri.training.loop import Checkpointing
from bids_qmri.training.network import AnchoredNcde, count_weights
from bids_qmri.training.noddi.card import shell_card
from bids_qmri.training.noddi.loss import precision_loss
from bids_qmri.training.noddi.recipe import ShellRecipe
from bids_qmri.training.noddi.simulate import random_rows
from bids_qmri.training.pool import TRAINING, VALIDATION, Pool, simulate_pool
from bids_qmri.training.run import cpu_seconds, fit_rows, scale_inputs
from bids_qmri.training.validate import validate

LOGGER = logging.getLogger("bids_qmri")


def train_shells(recipe: ShellRecipe, text: str, folder: Path, processes: int = 1) -> tuple[Path, Path]:
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
    held_out, pool = (
        simulate_pool(partial(random_rows, recipe), (recipe.seed, stream), schemes, processes)
        for stream, schemes in (
            (VALIDATION, recipe.signals.validation_schemes),
            (TRAINING, recipe.signals.schemes),
        )
    )
    simulated = cpu_seconds()
    LOGGER.info("simulated %d voxels in %.0f CPU-s", sum(map(len, pool.values())), simulated)
    network = new_network(recipe, pool)
    checkpointing = Checkpointing(
        folder / f"{recipe.name}.npz", f"{recipe.name} seed {recipe.seed} {recipe.digest()}"
    )
    fit_rows(recipe.training, recipe.seed, network, pool, precision_loss, checkpointing)
    accuracy = validate(network, held_out, QUANTITIES, anchor=False)
    LOGGER.info("validation: %s", accuracy)
    card = shell_card(recipe, text, count_weights(network), accuracy)
    cost = {"cpu_seconds": round(cpu_seconds()), "simulation_cpu_seconds": round(simulated)}
    return write_network(folder, network, (len(CHANNELS), len(CONTEXT)), card, cost)


def new_network(recipe: ShellRecipe, pool: Pool) -> AnchoredNcde:
    """Return an untrained network whose inputs are scaled to those of a pool."""
    torch.manual_seed(recipe.seed)
    network = AnchoredNcde(
        recipe.network, range(len(CHANNELS)), range(len(CONTEXT)), len(QUANTITIES), looks_ahead=True
    )
    scale_inputs(network, pool)
    return network
