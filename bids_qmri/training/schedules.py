"""Schedules of training: optimiser, learning rate and order of batches, all of them functions of the step.

A resumed training therefore makes the same network as an uninterrupted one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
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


@dataclass(frozen=True)
class Schedule(ABC):
    """One way to train: `batch` rows in an update, `rate` the largest learning rate, on so many `threads`."""

    keeps_best: ClassVar[bool] = False

    batch: int
    rate: float
    threads: int

    @abstractmethod
    def optimiser(self) -> tuple[str, dict[str, Any]]:
        """Return the name of the optimiser in torch, and its options."""

    @abstractmethod
    def steps_for(self, pool: Pool) -> int:
        """Return the number of updates."""

    @abstractmethod
    def source(self, pool: Pool, seed: int) -> Callable[[int], Rows]:
        """Return what each step learns from."""

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.rate

    def card(self) -> dict[str, Any]:
        """Return what cards say of it."""
        return {}


@dataclass(frozen=True)
class Cosine(Schedule):
    """AdamW for so many `steps`, learning rate rising over `warmup` steps and falling as a cosine.

    `decay` is of the weights, `clip` the largest norm of the gradient.
    """

    steps: int
    warmup: int
    decay: float
    clip: float

    def optimiser(self) -> tuple[str, dict[str, Any]]:
        return "AdamW", {"lr": self.rate, "weight_decay": self.decay}

    def steps_for(self, pool: Pool) -> int:
        return self.steps

    def rate_at(self, step: int) -> float:
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        part = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return 0.5 * self.rate * (1.0 + math.cos(math.pi * part))

    def source(self, pool: Pool, seed: int) -> Callable[[int], Rows]:
        return Batches(pool, self.batch, seed)

    def card(self) -> dict[str, Any]:
        return {"curves": self.steps * self.batch}


@dataclass(frozen=True)
class Halving(Schedule):
    """Adam as in Kuppens et al.: `batches` of rows of one length, drawn at random, in each of the `epochs`.

    The rate is `halved` at epochs of the study, whose schedule is compressed to fit the run.
    """

    clip: ClassVar[float] = math.inf

    epochs: int
    batches: int
    halved: tuple[int, ...]

    def optimiser(self) -> tuple[str, dict[str, Any]]:
        return "Adam", {"lr": self.rate, "fused": True}

    def steps_for(self, pool: Pool) -> int:
        return self.epochs * self.batches

    def rate_at(self, step: int) -> float:
        return self.rate * 0.5 ** halvings(self.halved, step, self.epochs * self.batches)

    def source(self, pool: Pool, seed: int) -> Callable[[int], Rows]:
        groups = list(pool.values())

        def batch(step: int) -> Rows:
            rng = np.random.default_rng([seed, DRAW_STREAM, step])
            group: Rows = groups[rng.integers(len(groups))]
            return group.take(rng.integers(len(group), size=self.batch))

        return batch

    def card(self) -> dict[str, Any]:
        seen = self.epochs * self.batches * self.batch
        return {"curves": seen, "fraction_of_study": round(self.epochs / STUDY_EPOCHS, 4)}


def halvings(epochs: tuple[int, ...], step: int, steps: int) -> int:
    """Return how many of the study's `epochs` lie behind at a step of a run of `steps`."""
    return sum(step * STUDY_EPOCHS >= epoch * steps for epoch in epochs)


@dataclass(frozen=True)
class Epochs(Schedule):
    """Adam over whole passes; the one with the least loss on held-out rows is kept.

    `decay` is the strength of the L2 regularisation, `momentum` the decay of the mean of gradients (beta 1).
    """

    keeps_best: ClassVar[bool] = True
    clip: ClassVar[float] = math.inf

    epochs: int
    decay: float
    momentum: float

    def optimiser(self) -> tuple[str, dict[str, Any]]:
        betas = (self.momentum, 0.999)
        return "Adam", {"lr": self.rate, "betas": betas, "weight_decay": self.decay, "fused": True}

    def steps_for(self, pool: Pool) -> int:
        return self.epochs * len(self.places(pool))

    def places(self, pool: Pool) -> list[tuple[int, int]]:
        """Return length and first row of the batches of a pass; the last one of a length may be smaller."""
        return [(n, first) for n, rows in pool.items() for first in range(0, len(rows), self.batch)]

    def source(self, pool: Pool, seed: int) -> Callable[[int], Rows]:
        places = self.places(pool)

        def batch(step: int) -> Rows:
            epoch, place = divmod(step, len(places))
            length, first = places[place]
            rows: Rows = pool[length]
            return rows.take(_order(seed, EPOCH_STREAM, epoch, len(rows))[first : first + self.batch])

        return batch


SCHEDULES: dict[str, type] = {"cosine": Cosine, "halving": Halving, "epochs": Epochs}


@dataclass(frozen=True)
class Batches:
    """An endless sequence of batches, each of paths of one length, by index alone.

    Every pass over the pool has an order of its own; what does not fill a batch is left out of that pass.
    """

    pool: Pool
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
        rows: Rows = self.pool[lengths[which]]
        size = min(self.size, len(rows))
        order = _order(self.seed, number, which, len(rows))
        return rows.take(order[place * size : (place + 1) * size])

    def _counts(self) -> list[int]:
        return [max(len(rows) // self.size, 1) for rows in self.pool.values()]


@lru_cache(maxsize=64)
def _order(seed: int, number: int, which: int, count: int) -> npt.NDArray[np.intp]:
    """Return the order of pass `number` through `count` things; kept, for one pass asks for it many times."""
    return np.random.default_rng([seed, number, which]).permutation(count)
