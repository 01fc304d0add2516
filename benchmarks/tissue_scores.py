"""How good answers on phantoms are: errors by region, ratios to least squares, coverage, contrast of lesions.

Errors are compared in the voxels where all rows gave finite values. Sums are kept per seed, so that standard
errors of ratios can be taken over seeds; below `FEWEST_SEEDS` they are those of independent voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from benchmarks.tissue_base import BoolArray, Phantom
from bids_qmri.estimators.base import FitResult
from bids_qmri.units import FloatArray

FEWEST_SEEDS = 5
LEAST_CONTRAST = 0.2
"""Relative difference between lesion and surroundings from which a lesion counts."""
WHOLE = "whole"
DETERMINED = "determined"
"""Pseudo-region: voxels in which the row says that the data determine the parameter."""

MOMENTS = ("n", "error", "square", "base", "square_square", "base_base", "square_base", "told", "covered")


@dataclass(frozen=True, eq=False)
class Answer:
    """What a row said of a scan: its result, (V,), and the processor seconds it took."""

    result: FitResult
    seconds: float


@dataclass(eq=False)
class Score:
    """Sums of one row, parameter and region: one array per seed, of `MOMENTS`."""

    sums: list[FloatArray] = field(default_factory=list)

    def total(self) -> dict[str, float]:
        """Return the sums over seeds."""
        return dict(zip(MOMENTS, np.sum(self.sums, axis=0), strict=True))

    @property
    def mse(self) -> float:
        t = self.total()
        return t["square"] / t["n"] if t["n"] else np.nan

    @property
    def bias(self) -> float:
        t = self.total()
        return t["error"] / t["n"] if t["n"] else np.nan

    @property
    def sd(self) -> float:
        """Standard deviation of the errors."""
        return float(np.sqrt(max(self.mse - self.bias**2, 0.0)))

    @property
    def coverage(self) -> float:
        """Share of errors within one standard deviation, where one is given; .68 if it is valid."""
        t = self.total()
        return t["covered"] / t["told"] if t["told"] else np.nan

    def ratio(self) -> tuple[float, float]:
        """Return MSE over that of the base row in the same voxels, and its standard error."""
        t = self.total()
        if not t["base"] > 0:
            return np.nan, np.nan
        value = t["square"] / t["base"]
        if len(self.sums) >= FEWEST_SEEDS:
            table = np.array(self.sums)
            left = table[:, MOMENTS.index("square")] - value * table[:, MOMENTS.index("base")]
            spread = float(np.sum(left**2)) * len(left) / (len(left) - 1)
        else:
            spread = t["square_square"] - 2 * value * t["square_base"] + value**2 * t["base_base"]
        return value, float(np.sqrt(max(spread, 0.0)) / t["base"])


@dataclass(eq=False)
class Scores:
    """All scores of a phantom at an SNR.

    Parameters
    ----------
    scores
        By row, parameter and region.
    contrast
        Recovered contrast of every lesion, by row and parameter.
    seconds
        Processor seconds of every seed by row.
    silent
        Share of voxels without an answer, of every seed by row.
    """

    scores: dict[tuple[str, str, str], Score] = field(default_factory=dict)
    contrast: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    silent: dict[str, list[float]] = field(default_factory=dict)
    regions: dict[str, None] = field(default_factory=dict)

    def of(self, row: str, parameter: str, region: str) -> Score | None:
        return self.scores.get((row, parameter, region))


def add(scores: Scores, phantom: Phantom, answers: dict[str, Answer], base: str, partial: set[str]) -> None:
    """Add the answers of one seed.

    Parameters
    ----------
    scores
        What they are added to.
    phantom
        The truth.
    answers
        By row; that of `base` is what others are divided by.
    partial
        Rows that do not narrow the voxels of others.
    """
    regions = {WHOLE: phantom.mask, **phantom.regions}
    scores.regions |= dict.fromkeys(regions)
    for name in phantom.scored:
        truth = phantom.voxels(phantom.truth[name])
        errors = {row: a.result.maps[name] - truth for row, a in answers.items()}
        common = np.all([np.isfinite(e) for row, e in errors.items() if row not in partial], axis=0)
        for row, answer in answers.items():
            usable = common & np.isfinite(errors[row])
            sums = _per_voxel(errors[row], errors[base], answer.result.sd.get(name))
            for region, inside in regions.items():
                _store(scores, (row, name, region), sums[:, usable & phantom.voxels(inside)])
            determined = (getattr(answer.result, DETERMINED, None) or {}).get(name)
            if determined is not None:
                headline = phantom.voxels(regions[phantom.headline.get(name, WHOLE)])
                _store(scores, (row, name, DETERMINED), sums[:, usable & headline & determined])
            scores.contrast.setdefault((row, name), []).extend(_contrasts(phantom, name, answer.result))
    for row, answer in answers.items():
        scores.seconds.setdefault(row, []).append(answer.seconds)
        silent = np.mean([~np.isfinite(answer.result.maps[name]) for name in phantom.scored])
        scores.silent.setdefault(row, []).append(float(silent))


def _store(scores: Scores, key: tuple[str, str, str], sums: FloatArray) -> None:
    scores.scores.setdefault(key, Score()).sums.append(sums.sum(axis=1))


def _per_voxel(error: FloatArray, base: FloatArray, sd: FloatArray | None) -> FloatArray:
    """Return the terms of `MOMENTS`, (9, V)."""
    a, b = error**2, base**2
    told = np.isfinite(sd) & (sd > 0) if sd is not None else np.zeros(error.shape, dtype=bool)
    covered = told & (np.abs(error) <= (0.0 if sd is None else sd))
    return np.stack([np.ones_like(a), error, a, b, a * a, b * b, a * b, told, covered])


def _contrasts(phantom: Phantom, name: str, result: FitResult) -> list[float]:
    """Return the recovered part of the contrast of every lesion that has some."""
    truth, found = phantom.voxels(phantom.truth[name]), result.maps[name]
    lesions, around = phantom.voxels(phantom.lesions), phantom.voxels(phantom.surroundings)
    recovered = []
    for i in range(1, int(lesions.max(initial=0)) + 1):
        inside, outside = lesions == i, around == i
        true = _difference(truth, inside, outside)
        if np.isfinite(true) and abs(true) >= LEAST_CONTRAST * abs(truth[outside].mean()):
            recovered.append(_difference(found, inside, outside) / true)
    return [value for value in recovered if np.isfinite(value)]


def _difference(values: FloatArray, inside: BoolArray, outside: BoolArray) -> float:
    first, second = values[inside & np.isfinite(values)], values[outside & np.isfinite(values)]
    return float(first.mean() - second.mean()) if first.size and second.size else np.nan
