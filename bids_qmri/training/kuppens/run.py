"""From a recipe of the study to a network and its card: simulate, train, test, write."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bids_qmri.estimators.posterior.box import quantities
from bids_qmri.training.export import write_files
from bids_qmri.training.kuppens.card import mlp_card, ncde_card
from bids_qmri.training.kuppens.curves import Batch, fixed_batch, fixed_group, variable_curves
from bids_qmri.training.kuppens.export import mlp_to_onnx
from bids_qmri.training.kuppens.inference import write_weights
from bids_qmri.training.kuppens.loss import study_loss
from bids_qmri.training.kuppens.networks import StudyNcde
from bids_qmri.training.kuppens.perceptron import ProtocolMlp, mlp_loss
from bids_qmri.training.kuppens.recipe import MlpOptions, NcdeOptions, StudyRecipe
from bids_qmri.training.loop import Checkpointing, train
from bids_qmri.training.network import count_weights
from bids_qmri.training.pool import TRAINING, VALIDATION, Pool, group_rows
from bids_qmri.training.validate import validate

ORDER = 2
"""Random stream of the order of curves, beside those of `training.pool`."""

TEST_BATCH = 1024
"""Curves that the solver follows at a time when a network is tested."""


def train_study(recipe: StudyRecipe, text: str, folder: Path) -> tuple[Path, Path]:
    """Train the network of a recipe, and return the file of its weights and its card.

    A checkpoint ``<name>.npz`` is left in `folder`; a training that was interrupted goes on from it.

    Parameters
    ----------
    recipe
        What to train, seed and protocol included.
    text
        The recipe as it is written, for the card.
    folder
        Where files go; made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.training.threads)
    torch.manual_seed(recipe.seed)
    checkpointing = Checkpointing(
        folder / f"{recipe.name}.npz", f"{recipe.name} seed {recipe.seed} {recipe.digest()}"
    )
    if recipe.mlp is not None:
        perceptron = train_mlp(recipe, recipe.mlp, checkpointing)
        accuracy = validate(perceptron, held_out_features(recipe), quantities(recipe.forward), anchor=False)
        card = mlp_card(recipe, text, count_weights(perceptron), accuracy)
        return write_files(folder, mlp_to_onnx(perceptron, card), card, _cost())
    assert recipe.ncde is not None
    network = train_ncde(recipe, recipe.ncde, checkpointing)
    card = ncde_card(recipe, text, count_weights(network), held_out_accuracy(recipe, network))
    return write_weights(folder, network, card, _cost())


def train_ncde(
    recipe: StudyRecipe, options: NcdeOptions, checkpointing: Checkpointing | None = None
) -> StudyNcde:
    """Simulate variable protocols and train a controlled differential equation on them."""
    pool = variable_curves(recipe, recipe.curves.count, np.random.default_rng([recipe.seed, TRAINING]))
    network = StudyNcde(options, len(recipe.ranges))
    network.standardise([(batch.signal, batch.measured) for batch in pool.values()])

    def loss(net: nn.Module, item: tuple[Batch, int]) -> Tensor:
        batch, step = item
        halvings = recipe.training.halvings(options.halved, step)
        return study_loss(recipe, net(batch.signal, batch.measured, halvings), batch)

    _fit(recipe, network, pool, loss, checkpointing)
    return network


def train_mlp(
    recipe: StudyRecipe, options: MlpOptions, checkpointing: Checkpointing | None = None
) -> ProtocolMlp:
    """Simulate one protocol and train perceptrons on it."""
    rng = np.random.default_rng([recipe.seed, TRAINING])
    curves = fixed_batch(recipe, fixed_group(recipe, recipe.curves.count, rng))
    network = ProtocolMlp(options, recipe, curves.signal.shape[1])
    network.standardise(curves.signal)

    def loss(_: nn.Module, item: tuple[Batch, int]) -> Tensor:
        return mlp_loss(recipe, network, item[0])

    _fit(recipe, network, {curves.signal.shape[1]: curves}, loss, checkpointing)
    return network


def _fit(
    recipe: StudyRecipe,
    network: nn.Module,
    pool: Mapping[int, Batch],
    loss: Callable[[nn.Module, tuple[Batch, int]], Tensor],
    checkpointing: Checkpointing | None,
) -> None:
    """Train with Adam; a batch has curves of one length, so that none is padded."""
    options, groups = recipe.training, list(pool.values())

    def batch(step: int) -> tuple[Batch, int]:
        rng = np.random.default_rng([recipe.seed, ORDER, step])
        group = groups[rng.integers(len(groups))]
        return group.take(torch.from_numpy(rng.integers(len(group.signal), size=options.batch))), step

    def rate(step: int) -> float:
        return options.rate * 0.5 ** options.halvings(options.halved, step)

    optimiser = torch.optim.Adam(network.parameters(), lr=options.rate, fused=True)
    # the study does not clip
    clip = float("inf")
    train(network, batch, loss, optimiser, rate, options.steps, clip=clip, checkpointing=checkpointing)


def held_out_features(recipe: StudyRecipe) -> Pool:
    """Return curves that training has not seen as the application presents them to the network."""
    rng = np.random.default_rng([recipe.seed, VALIDATION])
    rows = group_rows(recipe.forward, fixed_group(recipe, recipe.curves.validation, rng))
    return {rows.path.shape[1]: rows}


def held_out_accuracy(recipe: StudyRecipe, network: StudyNcde) -> dict[str, dict[str, float]]:
    """Return mean squared errors on unseen curves, over those of the middle of the range, by parameter."""
    rng = np.random.default_rng([recipe.seed, VALIDATION])
    errors, prior = [], []
    with torch.inference_mode():
        for group in variable_curves(recipe, recipe.curves.validation, rng).values():
            for first in range(0, len(group.signal), TEST_BATCH):
                batch = group.take(torch.arange(first, min(first + TEST_BATCH, len(group.signal))))
                inside = torch.sigmoid(network(batch.signal, batch.measured, len(network.options.halved)))
                errors.append((inside - batch.truth) ** 2)
                prior.append((0.5 - batch.truth) ** 2)
    ratio = torch.cat(errors).mean(dim=0) / torch.cat(prior).mean(dim=0)
    names = [p.name for p in recipe.forward.parameters]
    return {
        name: {"mse_over_prior": float(f"{value:.4g}")}
        for name, value in zip(names, ratio.tolist(), strict=True)
    }


def _cost() -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_seconds": round(usage.ru_utime + usage.ru_stime)}
