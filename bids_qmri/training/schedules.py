"""Schedules of training: optimiser, learning rate and order of batches, all of them functions of the step.

A resumed training therefore makes the same network as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.training.pool import Pool, Rows

STUDY_EPOCHS = 750
"""Epochs that Kuppens et al. trained; their schedules are written in these, whatever the length of a run."""

EPOCH_STREAM, DRAW_STREAM = 1, 2
"""Random streams of the order of rows, beside those of `pool`."""


def halvings(epochs: tuple[int, ...], step: int, steps: int) -> int:
    """Return how many of the study's `epochs` lie behind at a step of a run of `steps`."""
    return sum(step * STUDY_EPOCHS >= epoch * steps for epoch in epochs)


@dataclass(frozen=True)
class Cosine:
    """AdamW, learning rate rising over `warmup` steps and falling as a cosine.

    Parameters
    ----------
    steps, batch
        Number of updates, and curves in each.
    rate
        Largest learning rate.
    warmup
        Steps until it is reached.
    decay
        Weight decay.
    clip
        Largest norm of the gradient.
    threads
        Threads that one training uses.
    """

    keeps_best: ClassVar[bool] = False

    steps: int
    batch: int
    rate: float
    warmup: int
    decay: float
    clip: float
    threads: int

    def optimiser(self) -> tuple[str, dict[str, Any]]:
        """Return the name of the optimiser and its options."""
        return "AdamW", {"lr": self.rate, "weight_decay": self.decay}

    def steps_for(self, pool: Pool) -> int:
        """Return the number of updates."""
        return self.steps

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        part = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return 0.5 * self.rate * (1.0 + math.cos(math.pi * part))

    def source(self, pool: Pool, seed: int) -> Callable[[int], Any]:
        """Return what each step learns from."""
        return Batches(pool, self.batch, seed)

    def card(self) -> dict[str, Any]:
        """Return what the card says of it."""
        return {"curves": self.steps * self.batch}


@dataclass(frozen=True)
class Halving:
    """Adam as in Kuppens et al.

    Parameters
    ----------
    epochs
        Epochs of this run. The study's schedule is compressed to fit.
    batches, batch
        Updates per epoch, and curves in each, drawn at random from those of one length: none is padded.
    rate
        Learning rate at the beginning.
    halved
        Epochs of the study at which it is halved.
    threads
        Threads that one training uses.
    """

    keeps_best: ClassVar[bool] = False
    clip: ClassVar[float] = math.inf

    epochs: int
    batches: int
    batch: int
    rate: float
    halved: tuple[int, ...]
    threads: int

    @property
    def steps(self) -> int:
        """Number of updates."""
        return self.epochs * self.batches

    def optimiser(self) -> tuple[str, dict[str, Any]]:
        """Return the name of the optimiser and its options."""
        return "Adam", {"lr": self.rate, "fused": True}

    def steps_for(self, pool: Pool) -> int:
        """Return the number of updates."""
        return self.steps

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.rate * 0.5 ** halvings(self.halved, step, self.steps)

    def source(self, pool: Pool, seed: int) -> Callable[[int], Any]:
        """Return what each step learns from."""
        groups = list(pool.values())

        def batch(step: int) -> Rows:
            rng = np.random.default_rng([seed, DRAW_STREAM, step])
            group = groups[rng.integers(len(groups))]
            return group.take(rng.integers(len(group), size=self.batch))

        return batch

    def card(self) -> dict[str, Any]:
        """Return what the card says of it."""
        return {
            "curves": self.steps * self.batch,
            "fraction_of_study": round(self.epochs / STUDY_EPOCHS, 4),
        }


@dataclass(frozen=True)
class Epochs:
    """Adam over whole passes; the pass with the least loss on held-out rows is kept.

    Parameters
    ----------
    epochs, batch
        Passes through the data, and signals in an update.
    rate
        Learning rate.
    decay
        Strength of the L2 regularisation.
    momentum
        Decay of the mean of gradients (beta 1).
    threads
        Threads that the training uses.
    """

    keeps_best: ClassVar[bool] = True
    clip: ClassVar[float] = math.inf

    epochs: int
    batch: int
    rate: float
    decay: float
    momentum: float
    threads: int

    def optimiser(self) -> tuple[str, dict[str, Any]]:
        """Return the name of the optimiser and its options."""
        betas = (self.momentum, 0.999)
        return "Adam", {"lr": self.rate, "betas": betas, "weight_decay": self.decay, "fused": True}

    def per_epoch(self, pool: Pool) -> int:
        """Return the updates in a pass; the last batch of a length may be smaller."""
        return sum(-(-len(rows) // self.batch) for rows in pool.values())

    def steps_for(self, pool: Pool) -> int:
        """Return the number of updates."""
        return self.epochs * self.per_epoch(pool)

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.rate

    def source(self, pool: Pool, seed: int) -> Callable[[int], Any]:
        """Return what each step learns from."""

        def batch(step: int) -> Rows:
            epoch, place = divmod(step, self.per_epoch(pool))
            for rows in pool.values():
                count = -(-len(rows) // self.batch)
                if place < count:
                    break
                place -= count
            order = _order(seed, EPOCH_STREAM, epoch, len(rows))
            return rows.take(order[place * self.batch : (place + 1) * self.batch])

        return batch

    def card(self) -> dict[str, Any]:
        """Return what the card says of it."""
        return {}


SCHEDULES: dict[str, type] = {"cosine": Cosine, "halving": Halving, "epochs": Epochs}


@dataclass(frozen=True)
class Batches:
    """An endless sequence of batches, each of paths of one length, by index alone.

    Every pass over the pool has an order of its own; what does not fill a batch is left out of that pass.
    """

    pool: Mapping[int, Rows]
    size: int
    seed: int

    @property
    def per_pass(self) -> int:
        """Batches in one pass over the pool."""
        return sum(self._counts())

    def __call__(self, step: int) -> Rows:
        """Return batch number `step`."""
        number, position = divmod(step, self.per_pass)
        lengths = list(self.pool)
        turns = np.repeat(np.arange(len(lengths)), self._counts())
        turns = turns[_order(self.seed, number, len(lengths), turns.size)]
        which = int(turns[position])
        place = int(np.count_nonzero(turns[:position] == which))
        rows = self.pool[lengths[which]]
        size = min(self.size, len(rows))
        order = _order(self.seed, number, which, len(rows))
        return rows.take(order[place * size : (place + 1) * size])

    def _counts(self) -> list[int]:
        return [max(len(rows) // self.size, 1) for rows in self.pool.values()]


@lru_cache(maxsize=64)
def _order(seed: int, number: int, which: int, count: int) -> npt.NDArray[np.intp]:
    """Return the order of pass `number` through `count` things; kept, for one pass asks for it many times."""
    return np.random.default_rng([seed, number, which]).permutation(count)
