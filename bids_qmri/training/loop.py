"""The training loop: any network, any loss, any source of batches; stops and resumes without a trace.

Everything that is random in a step must follow from the number of the step. A resumed training then makes the
same network as an uninterrupted one, to the last bit with the same number of threads.
"""

from __future__ import annotations

import json
import logging
import math
import resource
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bids_qmri.errors import UsageError
from bids_qmri.training.progress import progress

LOGGER = logging.getLogger("bids_qmri")

SAVE_SECONDS = 30.0
"""Time between checkpoints."""

HEADER = "header.json"

B = TypeVar("B")


@dataclass(frozen=True)
class Checkpointing:
    """Where a training leaves its state, and the name of what is trained, which must match to resume.

    `earlier` is the processor time, in s, of the runs that it goes on from.
    """

    file: Path
    tag: str
    earlier: float = 0.0


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

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the network in training answers."""
        return self.network(*inputs)

    def consider(self, loss: float, epoch: int) -> None:
        """Keep the network as it is if its loss is the least so far."""
        if loss < self.best_loss.item():
            self.best.load_state_dict(self.network.state_dict())
            self.best_loss.fill_(loss)
            self.best_epoch.fill_(epoch)


def train(
    network: nn.Module,
    batch: Callable[[int], B],
    loss: Callable[[nn.Module, B, int], Tensor],
    optimiser: torch.optim.Optimizer,
    rate: Callable[[int], float],
    steps: int,
    *,
    clip: float,
    after: Callable[[int], None] | None = None,
    checkpointing: Checkpointing | None = None,
) -> Sequence[float]:
    """Train a network in place, from its checkpoint if there is one; return the loss of every step done here.

    Parameters
    ----------
    batch, rate
        What a step learns from, and its learning rate, by its number.
    loss
        Scalar to minimise, of the network, a batch and the number of the step.
    clip, after
        Largest norm of the gradient; what is called after every step with the number of steps done.

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
    for step in progress(range(begun, steps), steps - begun, "training, steps"):
        value = loss(network, batch(step), step)
        update(network, value, optimiser, rate(step), clip)
        losses.append(value.item())
        if after is not None:
            after(step + 1)
        due = time.monotonic() - saved > SAVE_SECONDS or step + 1 == steps
        if checkpointing is not None and due:
            save_checkpoint(checkpointing, network, optimiser, step + 1)
            saved = time.monotonic()
    network.eval()
    return losses


def update(
    network: nn.Module, value: Tensor, optimiser: torch.optim.Optimizer, rate: float, clip: float
) -> None:
    """Change a network in place by one step down the gradient of a loss, whose norm is cut to `clip`."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]
    if math.isfinite(clip):
        nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimiser.step()


def save_checkpoint(
    checkpointing: Checkpointing, network: nn.Module, optimiser: torch.optim.Optimizer, step: int
) -> None:
    """Write the state of a training after so many steps; the file is complete or not there.

    Arrays and JSON in one .npz file cannot run code when they are read. `load_checkpoint` insists on the tag.
    """
    arrays: dict[str, Any] = {
        f"network/{name}": value.numpy() for name, value in network.state_dict().items()
    }
    for index, state in optimiser.state_dict()["state"].items():
        arrays |= {f"optimiser/{index}/{name}": value.numpy() for name, value in state.items()}
    spent = checkpointing.earlier + cpu_seconds()
    header = {"tag": checkpointing.tag, "step": step, "cpu_seconds": spent}
    arrays[HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    file = checkpointing.file
    part = file.with_name(file.stem + ".part.npz")
    np.savez(part, allow_pickle=False, **arrays)
    part.replace(file)


def cpu_seconds() -> float:
    """Return the processor time of this process and of those it started and that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def spent_on(file: Path) -> float:
    """Return the processor time, in s, of the runs that left a checkpoint; 0 without one."""
    if not file.exists():
        return 0.0
    with np.load(file, allow_pickle=False) as stored:
        return float(json.loads(stored[HEADER].tobytes()).get("cpu_seconds", 0.0))


def load_checkpoint(file: Path, tag: str, network: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Restore the state of a training and return the number of steps done.

    Raises
    ------
    UsageError
        If the checkpoint was left by another recipe or seed.
    """
    with np.load(file, allow_pickle=False) as stored:
        arrays = dict(stored)
    header = json.loads(arrays.pop(HEADER).tobytes())
    if header["tag"] != tag:
        raise UsageError(
            f"holds the training of {header['tag']}, not of {tag}",
            file=file,
            fix="use another --output, or delete the file to start anew",
        )
    of_network: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in arrays.items():
        part, _, name = key.partition("/")
        if part == "network":
            of_network[name] = torch.from_numpy(value)
        else:
            index, _, name = name.partition("/")
            state.setdefault(int(index), {})[name] = torch.from_numpy(value)
    network.load_state_dict(of_network)
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(header["step"])
