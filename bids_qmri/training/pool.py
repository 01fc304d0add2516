"""Pools of training data: what the network reads and what it should say, grouped by number of measurements.

Every group of curves has a random stream of its own, so that a pool depends on the seed alone, not on the
number of processes. Features come from `estimators.networks`, the same code that the application runs.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bids_qmri.training.progress import progress

Float32 = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

TRAINING, VALIDATION = 0, 1
"""Which of the random streams of a seed; the order of batches and the first weights are others."""

CHUNK = 4096
"""Signals that labels are fitted to at a time."""


@dataclass(frozen=True)
class Rows:
    """Voxels with paths of one length; all fields float32, voxels along the first axis."""

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Self:
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
    """What networks read, path (V, N, C) and context (V, Q), and targets of K quantities in box units.

    Position and standard deviation of the anchor, the truth, and 1 where a quantity is free, 0 where its box
    has no width, each (V, K); signal-to-noise ratio, (V,).
    """

    path: Float32
    context: Float32
    centre: Float32
    width: Float32
    truth: Float32
    free: Float32
    snr: Float32


@dataclass(frozen=True)
class SignalRows(Rows):
    """Normalised signals and measurements, (V, N), and the truth, (V, P), 0 to 1 within its ranges."""

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
    """Return what a `recipe.Recipe` trains with, and what its network is tested with.

    Where groups are drawn, `processes` share the work; the result does not depend on them.
    """
    data = recipe.data
    if data.rows == "signals":
        found: tuple[Pool, Pool] = data.pools(recipe)
        return found
    if data.rows == "labels":
        return _labelled(recipe)
    held_out = make_pool(recipe, VALIDATION, data.validation_groups, processes)
    return make_pool(recipe, TRAINING, data.groups, processes), held_out


def make_pool(recipe: Any, stream: int, groups: int, processes: int = 1) -> Pool:
    """Simulate groups of curves from a stream, `TRAINING` or `VALIDATION`, and compute their features."""
    work = partial(_drawn, recipe, stream)
    by_length: dict[int, list[FeatureRows]] = {}
    if processes == 1:
        _sort_in(map(work, range(groups)), groups, by_length)
    else:
        # forked children of a process with threads may hang
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context) as executor:
            _sort_in(executor.map(work, range(groups), chunksize=8), groups, by_length)
    # what is joined is let go at once: a pool takes about a gigabyte
    return {length: FeatureRows.joined(by_length.pop(length)) for length in sorted(by_length)}


def _drawn(recipe: Any, stream: int, index: int) -> FeatureRows:
    rng = np.random.default_rng([recipe.seed, stream, index])
    return FeatureRows.of(recipe.data.draw(recipe.forward, recipe.protocol, rng))


def _sort_in(results: Iterable[FeatureRows], groups: int, by_length: dict[int, list[FeatureRows]]) -> None:
    for rows in progress(results, groups, "simulating, groups of curves"):
        by_length.setdefault(rows.path.shape[1], []).append(rows)


def _labelled(recipe: Any) -> tuple[Pool, Pool]:
    """Return signals of one scheme with labels, the last of them held out."""
    data, scheme = recipe.data, recipe.protocol.protocol()
    data.require(scheme)
    found = dict(data.simulate(recipe.forward, scheme, np.random.default_rng([recipe.seed, TRAINING])))
    rows = LabelRows.of({**found, "label": make_labels(recipe, scheme, found)})
    length, first = scheme.n_measurements, data.count - round(data.validation * data.count)
    return {length: rows.take(slice(0, first))}, {length: rows.take(slice(first, data.count))}


def make_labels(recipe: Any, scheme: Any, found: Mapping[str, Array]) -> Array:
    """Return what a network should answer, (M, Q): the truth, a fit, or their mean, weighed.

    `found` is what the data part has simulated, (M, ...) each. A weighted sum of two mean squared errors, one
    against each label, has the gradient of one mean squared error against the weighted mean of both.
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
