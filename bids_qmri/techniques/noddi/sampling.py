"""Random multi-shell schemes: any number of shells, with directions as scanners and users choose them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bids_qmri.physics import sampling
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.protocol import Range
from bids_qmri.physics.shells import cluster_shells
from bids_qmri.units import FloatArray

SHELL_SHARES = {2: 0.32, 3: 0.26, 4: 0.18, 5: 0.1, 6: 0.06, 7: 0.04, 8: 0.04}
"""How often a scheme has so many shells: as in practice, with some more of the rare ones."""

LEAST_GAP = 1.15
"""Ratio of neighbouring b-values, at least: closer ones are one shell."""

JITTER = (0.0, 0.0, 5.0, 10.0)
"""How far scanners report b-values from the nominal ones, s/mm^2."""

REPULSIONS = 80
"""Steps in which directions are spread: the least angle is then within a few percent of the best one."""

MANY_SHARE = 0.4
"""Schemes whose numbers of directions are uniform instead: in an average of many, noise has a bias alone."""

ORDERED_SHARE = 0.7
"""Schemes whose outer shells have more directions than the inner ones."""

SHARED_SHARE = 0.3
"""Schemes that use the directions of the largest shell in all others."""

SPREAD, DISTURBED, RANDOM, PARTIAL = range(4)
"""Directions as far apart as possible; these moved a little; independent ones; part of a larger set."""

KIND_SHARES = (0.55, 0.15, 0.15, 0.15)


@dataclass(frozen=True)
class Ranges(sampling.Ranges):
    """Multi-shell schemes: number of shells, b-values of all and of the outermost one in s/mm^2.

    Directions per shell are mostly log-uniform, images at b = 0 log-uniform; schemes of more images in all
    than `measurements` are drawn again.
    """

    shells: tuple[int, int]
    bvals: Range
    largest_b: Range
    directions: tuple[int, int]
    b0: tuple[int, int]
    measurements: int

    def draw(self, rng: np.random.Generator, paper_share: float = 0.0) -> DiffusionProtocol:
        """Draw a scheme in random order of its images, whose shells can be told apart, jitter included."""
        while True:
            counts, n_b0 = _counts(self, rng), _log_integer(self.b0, rng)
            if counts.sum() + n_b0 > self.measurements:
                continue
            protocol = _scheme(counts, _bvals(self, counts.size, rng), n_b0, rng)
            if cluster_shells(protocol.bvals[~protocol.b0_mask])[0].size == counts.size:
                return protocol

    def coverage(self) -> dict[str, list[float]]:
        names = ("shells", "bvals", "largest_b", "directions", "b0")
        return {name: list(getattr(self, name)) for name in names}


def _scheme(
    counts: npt.NDArray[np.intp], bvals: FloatArray, n_b0: int, rng: np.random.Generator
) -> DiffusionProtocol:
    kind = rng.choice(len(KIND_SHARES), p=KIND_SHARES)
    jitter = rng.choice(JITTER)
    shared = _directions(int(counts.max()), kind, rng) if rng.random() < SHARED_SHARE else None
    b, g = [np.zeros(n_b0)], [np.zeros((n_b0, 3))]
    for bval, count in zip(bvals, counts, strict=True):
        g.append(_directions(int(count), kind, rng) if shared is None else shared[:count])
        b.append(bval + np.round(rng.uniform(-1.0, 1.0, count)) * jitter)
    order = rng.permutation(n_b0 + counts.sum())
    return DiffusionProtocol(np.concatenate(b)[order], np.concatenate(g)[order])


def _log_integer(limits: tuple[int, int], rng: np.random.Generator) -> int:
    return int(np.round(np.exp(rng.uniform(np.log(limits[0] - 0.49), np.log(limits[1] + 0.49)))))


def _counts(ranges: Ranges, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Draw the number of directions of each shell."""
    numbers = [n for n in SHELL_SHARES if ranges.shells[0] <= n <= ranges.shells[1]]
    shares = np.array([SHELL_SHARES[n] for n in numbers])
    shells = int(rng.choice(numbers, p=shares / shares.sum()))
    if rng.random() < MANY_SHARE:
        counts = rng.integers(ranges.directions[0], ranges.directions[1] + 1, shells)
    else:
        counts = np.array([_log_integer(ranges.directions, rng) for _ in range(shells)])
    return np.sort(counts) if rng.random() < ORDERED_SHARE else counts


def _bvals(ranges: Ranges, shells: int, rng: np.random.Generator) -> FloatArray:
    """Draw b-values in increasing order, half of them round numbers."""
    step = 100.0 if rng.random() < 0.5 else 5.0
    while True:
        largest = rng.uniform(*ranges.largest_b)
        smaller = rng.uniform(ranges.bvals[0], largest, shells - 1)
        bvals = np.sort(np.append(np.round(smaller / step), np.round(largest / step))) * step
        inside = bvals[0] >= ranges.bvals[0] and bvals[-1] <= ranges.bvals[1]
        if inside and np.all(bvals[1:] >= LEAST_GAP * bvals[:-1]):
            return bvals


def _directions(count: int, kind: int, rng: np.random.Generator) -> FloatArray:
    """Draw the directions of a shell, (count, 3)."""
    if kind == RANDOM:
        return _unit(rng.standard_normal((count, 3)))
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    if kind == PARTIAL:
        more = spread_directions(int(np.ceil(count * rng.uniform(1.1, 1.6)))) @ turn
        if rng.random() < 0.5:
            return np.asarray(more[np.argsort(np.abs(more[:, 2]))[:count]])
        return rng.permutation(more)[:count]
    directions = rng.permutation(spread_directions(count)) @ turn
    if kind == DISTURBED:
        distance = rng.uniform(0.0, 1.0) / np.sqrt(count)
        directions = _unit(directions + distance * rng.standard_normal(directions.shape))
    return np.asarray(directions)


@lru_cache(maxsize=256)
def spread_directions(count: int) -> FloatArray:
    """Return directions that repel each other and their opposites, (count, 3), always the same."""
    g = _unit(np.random.default_rng(count).standard_normal((count, 3)))
    for i in range(REPULSIONS):
        cosine = g @ g.T
        np.fill_diagonal(cosine, 0.0)
        # inverse square of the distance, from both ends of every other direction
        towards, away = (2.0 - 2.0 * cosine) ** -1.5, (2.0 + 2.0 * cosine) ** -1.5
        force = (away - towards) @ g
        force -= np.sum(force * g, axis=1, keepdims=True) * g
        largest = np.linalg.norm(force, axis=1).max() + np.finfo(np.float64).eps
        g = _unit(g + force * (0.5 * (1.0 - i / REPULSIONS) / (largest * np.sqrt(count))))
    g.setflags(write=False)
    return g


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
