"""The training loop: whole data in memory, epochs of shuffled batches, the best epoch is kept.

The order of an epoch follows from seed and epoch alone, so that a resumed training makes the same network as
an uninterrupted one, to the last bit with the same number of threads.
"""

from __future__ import annotations

import logging
import time
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bids_qmri.training.checkpoint import load_checkpoint, save_checkpoint
from bids_qmri.training.loop import SAVE_SECONDS, Checkpointing
from bids_qmri.training.progress import progress
from bids_qmri.training.rot2025.recipe import TrainingOptions

LOGGER = logging.getLogger("bids_qmri")

ORDER = 1
"""Random stream of the order of signals, beside those of `simulate`."""

VALIDATION_BATCH = 8192


@dataclass(frozen=True)
class Examples:
    """Inputs (M, N) and labels (M, Q), both float32."""

    signal: Tensor
    label: Tensor

    def split(self, share: float) -> tuple[Examples, Examples]:
        """Return the first signals for training, and a `share` of all, the last ones, for validation."""
        first = len(self.signal) - round(share * len(self.signal))
        return (
            Examples(self.signal[:first], self.label[:first]),
            Examples(self.signal[first:], self.label[first:]),
        )


class Kept(nn.Module):
    """A network in training, with the best one so far, its loss and its epoch (from 1)."""

    best_loss: Tensor
    best_epoch: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.best = deepcopy(network).requires_grad_(False)
        self.register_buffer("best_loss", torch.tensor(float("inf")))
        self.register_buffer("best_epoch", torch.tensor(0))

    def consider(self, loss: float, epoch: int) -> None:
        """Keep the network as it is if its loss is the least so far."""
        if loss < self.best_loss.item():
            self.best.load_state_dict(self.network.state_dict())
            self.best_loss.fill_(loss)
            self.best_epoch.fill_(epoch)


def train_epochs(
    network: nn.Module,
    data: tuple[Examples, Examples],
    options: TrainingOptions,
    seed: int,
    checkpointing: Checkpointing | None = None,
) -> Kept:
    """Train a network, from its checkpoint if there is one, and return the best one with its loss and epoch.

    Parameters
    ----------
    network
        Trained in place; ends as the last epoch left it.
    data
        Examples for training and for validation.
    options
        How.
    seed
        Of the order of signals.
    checkpointing
        Where to keep the state; None keeps none.

    Raises
    ------
    UsageError
        If the checkpoint belongs to something else.
    """
    kept = Kept(network)
    betas = (options.momentum, 0.999)
    optimiser = torch.optim.Adam(
        network.parameters(), lr=options.rate, betas=betas, weight_decay=options.decay, fused=True
    )
    begun = 0
    if checkpointing is not None and checkpointing.file.exists():
        begun = load_checkpoint(checkpointing.file, checkpointing.tag, kept, optimiser)
        LOGGER.info("resumed %s at epoch %d of %d", checkpointing.file, begun, options.epochs)
    saved = time.monotonic()
    for epoch in progress(range(begun, options.epochs), options.epochs - begun, "epochs"):
        order = np.random.default_rng([seed, ORDER, epoch]).permutation(len(data[0].signal))
        _epoch(network, data[0], torch.from_numpy(order), optimiser, options.batch)
        kept.consider(mean_squared_error(network, data[1]), epoch + 1)
        due = time.monotonic() - saved > SAVE_SECONDS or epoch + 1 == options.epochs
        if checkpointing is not None and due:
            save_checkpoint(checkpointing.file, checkpointing.tag, kept, optimiser, epoch + 1)
            saved = time.monotonic()
    return kept


def _epoch(
    network: nn.Module, examples: Examples, order: Tensor, optimiser: torch.optim.Optimizer, batch: int
) -> None:
    """Update the network once per batch."""
    for chosen in torch.split(order, batch):
        signal, label = (values.index_select(0, chosen) for values in (examples.signal, examples.label))
        loss = nn.functional.mse_loss(network(signal), label)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def mean_squared_error(network: nn.Module, examples: Examples) -> float:
    """Return the mean squared error over all signals and outputs."""
    return float((answers(network, examples.signal) - examples.label).square().mean())


def answers(network: nn.Module, signal: Tensor) -> Tensor:
    """Return the outputs of a network, (M, Q), without gradients."""
    with torch.inference_mode():
        return torch.cat([network(part) for part in torch.split(signal, VALIDATION_BATCH)])
