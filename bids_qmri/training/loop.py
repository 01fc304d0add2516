"""The training loop: any network, any loss, any source of batches; stops and resumes without a trace.

Everything that is random in a step must follow from the number of the step. A resumed training then makes the
same network as an uninterrupted one, to the last bit with the same number of threads.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from bids_qmri.training.checkpoint import load_checkpoint, save_checkpoint
from bids_qmri.training.progress import progress

LOGGER = logging.getLogger("bids_qmri")

SAVE_SECONDS = 30.0
"""Time between checkpoints."""

B = TypeVar("B")


@dataclass(frozen=True)
class Checkpointing:
    """Where a training leaves its state, and the name of what is trained, which must match to resume."""

    file: Path
    tag: str


def warmup_cosine(peak: float, warmup: int, steps: int) -> Callable[[int], float]:
    """Return the learning rate by step: linear rise to `peak`, then half a cosine down to zero."""

    def rate(step: int) -> float:
        if step < warmup:
            return peak * (step + 1) / warmup
        return 0.5 * peak * (1.0 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))

    return rate


def train(
    network: nn.Module,
    batch: Callable[[int], B],
    loss: Callable[[nn.Module, B], Tensor],
    optimiser: torch.optim.Optimizer,
    rate: Callable[[int], float],
    steps: int,
    *,
    clip: float,
    checkpointing: Checkpointing | None = None,
) -> Sequence[float]:
    """Train a network, from its checkpoint if there is one, and return the loss of every step done here.

    Parameters
    ----------
    network
        Trained in place.
    batch
        What step number i learns from.
    loss
        Scalar to minimise, of the network and a batch.
    optimiser
        Holds the parameters of `network`.
    rate
        Learning rate by step.
    steps
        Number of steps in all.
    clip
        Largest norm of the gradient.
    checkpointing
        Where to keep the state; None keeps none.

    Raises
    ------
    UsageError
        If the checkpoint belongs to something else.
    """
    begun = 0
    if checkpointing is not None and checkpointing.file.exists():
        begun = load_checkpoint(checkpointing.file, checkpointing.tag, network, optimiser)
        LOGGER.info("resumed %s at step %d of %d", checkpointing.file, begun, steps)
    network.train()
    losses = []
    saved = time.monotonic()
    for step in progress(range(begun, steps), steps - begun, "training"):
        for group in optimiser.param_groups:
            group["lr"] = rate(step)
        value = loss(network, batch(step))
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimiser.step()
        losses.append(value.item())
        due = time.monotonic() - saved > SAVE_SECONDS or step + 1 == steps
        if checkpointing is not None and due:
            save_checkpoint(checkpointing.file, checkpointing.tag, network, optimiser, step + 1)
            saved = time.monotonic()
    network.eval()
    return losses
