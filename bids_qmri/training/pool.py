"""Pools of training data: what the network reads and what it should say, grouped by length of the path.

The features come from `estimators.features`, the same code that the application runs. Every group of curves
has a random stream of its own, so that a pool depends on the seed alone, not on the number of processes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from typing import Self

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.features import make_features
from bids_qmri.models.base import Model
from bids_qmri.training.boxes import targets
from bids_qmri.training.curves import Group, draw_group
from bids_qmri.training.progress import progress
from bids_qmri.training.recipe import Recipe

Float32 = npt.NDArray[np.float32]

TRAINING, VALIDATION = 0, 1
"""Which of the random streams of a seed; the order of batches and the first weights are others."""


@dataclass(frozen=True)
class Rows:
    """Voxels with paths of one length, features first, then targets; all float32.

    Parameters
    ----------
    path, context
        What the network reads, (V, N, C) and (V, Q).
    center, width
        Anchor and its standard deviation in box units, (V, K).
    truth
        True quantities in box units, (V, K).
    free
        1 where a quantity is free, 0 where its box has no width, (V, K).
    snr
        Signal-to-noise ratio, (V,).
    """

    path: Float32
    context: Float32
    center: Float32
    width: Float32
    truth: Float32
    free: Float32
    snr: Float32

    @classmethod
    def joined(cls, parts: Iterable[Rows]) -> Rows:
        """Put groups of one length behind each other."""
        parts = list(parts)
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def take(self, voxels: npt.NDArray[np.intp]) -> Self:
        """Return some voxels."""
        return type(self)(*(getattr(self, item.name)[voxels] for item in fields(self)))

    def without_path(self) -> Self:
        """Return the rows with empty paths, which rows of any length can be joined with."""
        return replace(self, path=self.path[:, :0])

    def __len__(self) -> int:
        return len(self.path)


Pool = dict[int, Rows]
"""Rows by the length of their paths."""


def group_rows(model: Model, group: Group) -> Rows:
    """Return features and targets of the usable curves of a group."""
    features = make_features(model, group.signal, group.protocol, sigma=group.sigma, bounds=group.box)
    truth, free = targets(model, group.theta, group.box)
    rows = Rows(
        features.path,
        features.context,
        features.center.T.astype(np.float32),
        features.width.T.astype(np.float32),
        truth.T.astype(np.float32),
        np.broadcast_to(free, truth.T.shape).astype(np.float32),
        group.snr.astype(np.float32),
    )
    return rows.take(np.flatnonzero(features.usable))


def make_pool(recipe: Recipe, stream: int, groups: int, processes: int = 1) -> Pool:
    """Simulate groups of curves and compute their features.

    Parameters
    ----------
    recipe
        What to simulate.
    stream
        `TRAINING` or `VALIDATION`.
    groups
        Number of groups.
    processes
        Processes that share the work; the result does not depend on it.
    """
    return simulate_pool(partial(_drawn_rows, recipe), (recipe.seed, stream), groups, processes)


def simulate_pool(
    draw: Callable[[np.random.Generator], Rows], seed: tuple[int, int], groups: int, processes: int = 1
) -> Pool:
    """Simulate groups, each with a random stream of its own.

    Parameters
    ----------
    draw
        Simulates one group; survives the trip to another process.
    seed
        Of the recipe, and which of its streams.
    groups
        Number of groups.
    processes
        Processes that share the work.
    """
    work = partial(_seeded_rows, draw, seed)
    by_length: dict[int, list[Rows]] = {}
    if processes == 1:
        results = map(work, range(groups))
        _sort_in(results, groups, by_length)
    else:
        # forked children of a process with threads may hang
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context) as executor:
            _sort_in(executor.map(work, range(groups), chunksize=8), groups, by_length)
    # what is joined is let go at once: a pool takes about a gigabyte
    return {length: Rows.joined(by_length.pop(length)) for length in sorted(by_length)}


def _drawn_rows(recipe: Recipe, rng: np.random.Generator) -> Rows:
    return group_rows(recipe.forward, draw_group(recipe, rng))


def _seeded_rows(draw: Callable[[np.random.Generator], Rows], seed: tuple[int, int], index: int) -> Rows:
    return draw(np.random.default_rng([*seed, index]))


def _sort_in(results: Iterable[Rows], groups: int, by_length: dict[int, list[Rows]]) -> None:
    for rows in progress(results, groups, "simulating"):
        by_length.setdefault(rows.path.shape[1], []).append(rows)


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
