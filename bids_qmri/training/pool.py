"""Pools of training data: what the network reads and what it should say, grouped by number of measurements.

Every group of curves has a random stream of its own, so that a pool depends on the seed alone, not on the number
of processes. Features come from `estimators.networks`, the same code that the application runs.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bids_qmri.training.progress import progress

Float32 = npt.NDArray[np.float32]

TRAINING, VALIDATION = 0, 1
"""Which of the random streams of a seed; the order of batches and the first weights are others."""

CHUNK = 4096
"""Signals that labels are fitted to at a time."""


@dataclass(frozen=True)
class Rows:
    """Voxels with paths of one length; all fields float32, voxels along the first axis."""

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make rows of arrays of any precision, of which those that it has no field for are left out."""
        return cls(**{item.name: np.asarray(arrays[item.name], np.float32) for item in fields(cls)})

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Put groups of one length behind each other."""
        parts = list(parts)
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def take(self, voxels: npt.NDArray[np.intp] | slice) -> Self:
        """Return some voxels."""
        return type(self)(*(getattr(self, item.name)[voxels] for item in fields(self)))

    def parts(self, size: int) -> Iterable[Self]:
        """Yield all of them in parts of at most `size`."""
        for first in range(0, len(self), size):
            yield self.take(slice(first, first + size))

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))


@dataclass(frozen=True)
class FeatureRows(Rows):
    """What networks with features read, then targets.

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

    def without_path(self) -> Self:
        """Return the rows with empty paths, which rows of any length can be joined with."""
        return replace(self, path=self.path[:, :0])


@dataclass(frozen=True)
class SignalRows(Rows):
    """Normalised signals (V, N), measurements (V, N), and true parameters (V, P), 0 and 1 at the ends of ranges."""

    signal: Float32
    measured: Float32
    truth: Float32


@dataclass(frozen=True)
class LabelRows(Rows):
    """Normalised signals of one scheme, (V, N), labels and truth, each (V, Q)."""

    signal: Float32
    label: Float32
    truth: Float32


Pool = Mapping[int, Any]
"""Rows by the number of their measurements."""


def make_pools(recipe: Any, processes: int = 1) -> tuple[Pool, Pool]:
    """Return what a recipe trains with, and what it is tested with.

    Parameters
    ----------
    recipe
        A `recipe.Recipe`.
    processes
        Processes that share the work; the result does not depend on it.
    """
    makers: dict[str, Callable[[Any, int], tuple[Pool, Pool]]] = {
        "features": _of_features,
        "signals": lambda recipe, _: recipe.data.pools(recipe),
        "labels": lambda recipe, _: _of_labels(recipe),
    }
    return makers[recipe.data.rows](recipe, processes)


def _of_features(recipe: Any, processes: int) -> tuple[Pool, Pool]:
    data = recipe.data
    draw = partial(_draw, recipe)
    held_out = simulate_pool(draw, (recipe.seed, VALIDATION), data.validation_groups, processes)
    return simulate_pool(draw, (recipe.seed, TRAINING), data.groups, processes), held_out


def _draw(recipe: Any, rng: np.random.Generator) -> FeatureRows:
    return FeatureRows.of(recipe.data.draw(recipe.forward, recipe.protocol, rng))


def _of_labels(recipe: Any) -> tuple[Pool, Pool]:
    scheme = recipe.protocol.protocol()
    recipe.data.require(scheme)
    rng = np.random.default_rng([recipe.seed, TRAINING])
    found = dict(recipe.data.simulate(recipe.forward, scheme, rng))
    found["label"] = make_labels(recipe, scheme, found)
    count = recipe.data.count
    first = count - round(recipe.data.validation * count)
    rows = LabelRows.of(found)
    length = rows.signal.shape[1]
    return {length: rows.take(slice(0, first))}, {length: rows.take(slice(first, count))}


def make_labels(recipe: Any, scheme: Any, found: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return what a network should answer, (M, Q): the truth, a fit, or their mean, weighed.

    A weighted sum of two mean squared errors, one against each label, has the gradient of one mean squared error
    against the weighted mean of both.

    Parameters
    ----------
    recipe
        Says which labels.
    scheme
        Protocol of the signals.
    found
        What the data part has simulated.
    """
    share, truth = recipe.labels.share, found["truth"]
    if share == 0.0:
        return truth
    fitted = np.empty_like(truth)
    parts = [slice(first, first + CHUNK) for first in range(0, len(truth), CHUNK)]
    for part in progress(parts, len(parts), "fitting the labels"):
        some = {name: values[part] for name, values in found.items()}
        fitted[part] = recipe.data.fit(recipe.forward, scheme, some, recipe.labels.likelihood)
    return np.asarray(share * fitted + (1.0 - share) * truth)


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
    by_length: dict[int, list[Any]] = {}
    if processes == 1:
        _sort_in(map(work, range(groups)), groups, by_length)
    else:
        # forked children of a process with threads may hang
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context) as executor:
            _sort_in(executor.map(work, range(groups), chunksize=8), groups, by_length)
    pool = {}
    # what is joined is let go at once: a pool takes about a gigabyte
    for length in sorted(by_length):
        parts = by_length.pop(length)
        pool[length] = type(parts[0]).joined(parts)
    return pool


def _seeded_rows(draw: Callable[[np.random.Generator], Rows], seed: tuple[int, int], index: int) -> Rows:
    return draw(np.random.default_rng([*seed, index]))


def _sort_in(results: Iterable[Any], groups: int, by_length: dict[int, list[Any]]) -> None:
    for rows in progress(results, groups, "simulating groups of curves"):
        by_length.setdefault(rows.path.shape[1], []).append(rows)
