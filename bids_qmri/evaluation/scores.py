"""Errors of estimators on sub-protocols against references: mean squared error, bias, variance, and ratios.

As in Kuppens et al. (doi:10.48550/arXiv.2412.20844), sections 2.4.2.3 and 2.4.2.4. Called by
`workflows.evaluate` and by benchmarks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bids_qmri.evaluation.answers import Maps
from bids_qmri.evaluation.subsets import Subset
from bids_qmri.units import FloatArray

REFERENCES = {
    "own": "the same estimator's answer to all measurements",
    "lsq": "least squares on all measurements, which shares noise with the sub-protocol",
    "rest": "least squares on the measurements that are not in the sub-protocol, whose noise is independent",
}
"""What estimates from a sub-protocol are compared with."""

FEWEST_VOXELS = 2
"""Voxels below which nothing is said of a region."""


@dataclass(frozen=True)
class Ratio:
    """A ratio of mean squared errors, and the standard deviation of that estimate."""

    value: float
    se: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.se:.3f}"

    def above(self, limit: float) -> bool:
        """Return whether it exceeds a limit by more than its standard deviation."""
        return bool(self.value - self.se > limit)


def ratio_of_means(a: FloatArray, b: FloatArray) -> Ratio:
    """Return mean(a) / mean(b) of pairs, (V,), and by the delta method its standard deviation.

    Errors of both are known from the same signals, so that their ratio is known better than either.

    Examples
    --------
    >>> str(ratio_of_means(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0])))
    '2.000 ± 0.000'
    """
    mean = float(b.mean())
    if not mean > 0:
        return Ratio(np.nan, np.nan)
    value = float(a.mean() / mean)
    if a.size < 2:
        return Ratio(value, np.nan)
    deviation = (a - value * b) / mean
    return Ratio(value, float(deviation.std(ddof=1) / np.sqrt(a.size)))


@dataclass(frozen=True)
class Score:
    """Errors of one estimator on one sub-protocol, over the voxels that all estimators answer.

    Parameters
    ----------
    participant, region
        Whose voxels.
    estimator
        Its label.
    subset, length
        Name and number of different measurements of the sub-protocol; ``random`` once pooled.
    quantity
        Name of the parameter.
    reference
        One of `REFERENCES`.
    mse, bias, variance
        Of the error, in the unit of the quantity (squared).
    lsq
        Mean squared error of least squares.
    ratio
        Its mean squared error over that of least squares.
    voxels
        How many.
    determined
        Share of them in which the sub-protocol determines the quantity by this estimator; NaN where nobody
        can tell.
    """

    participant: str
    region: str
    estimator: str
    subset: str
    length: int
    quantity: str
    reference: str
    mse: float
    bias: float
    variance: float
    lsq: float
    ratio: Ratio
    voxels: int
    determined: float = math.nan

    @property
    def key(self) -> tuple[str | int, ...]:
        """What scores of random sub-protocols that are pooled have in common."""
        where = self.participant, self.region, self.estimator
        return (*where, self.subset, self.length, self.quantity, self.reference)


Regions = Mapping[str, npt.NDArray[np.bool_]]
"""Which voxels of a sample are in a region, (v,), by its name."""

Determined = Mapping[str, Mapping[str, npt.NDArray[np.bool_]]]
"""Where the data determine a quantity, (v,), by label of the estimator and name; those that can tell."""

NOBODY_TELLS: Determined = {}


def compare(
    participant: str,
    subset: Subset,
    answers: Mapping[str, Maps],
    references: Mapping[str, Mapping[str, Maps]],
    base: str,
    quantities: Sequence[str],
    regions: Regions,
    determined: Determined = NOBODY_TELLS,
) -> Iterator[Score]:
    """Yield the scores of all estimators on one sub-protocol.

    Parameters
    ----------
    participant
        Whose voxels.
    subset
        The sub-protocol.
    answers
        Estimates from it by label of estimators.
    references
        By name of the reference, then by label of those that have one, what they are compared with.
    base
        Label of least squares.
    quantities
        Names of parameters.
    regions
        Voxels of each region.
    determined
        Where the sub-protocol determines what, by label of those that can tell.
    """
    for quantity in quantities:
        for reference, told in references.items():
            labels = [one for one in answers if one in told]
            if base not in labels:
                continue
            error = {one: answers[one][quantity] - told[one][quantity] for one in labels}
            answered = _answered(quantity, answers, references)
            for region, inside in regions.items():
                chosen = answered & inside
                if np.count_nonzero(chosen) < FEWEST_VOXELS:
                    continue
                least = error[base][chosen] ** 2
                for one in labels:
                    e = error[one][chosen]
                    yield Score(
                        participant,
                        region,
                        one,
                        subset.kind,
                        subset.length,
                        quantity,
                        reference,
                        float(np.mean(e**2)),
                        float(e.mean()),
                        float(e.var()),
                        float(least.mean()),
                        ratio_of_means(e**2, least),
                        e.size,
                        share_determined(determined, one, quantity, chosen),
                    )


def share_determined(
    determined: Determined, label: str, quantity: str, chosen: npt.NDArray[np.bool_]
) -> float:
    """Return the share of the chosen voxels, (v,), in which the data determine a quantity; NaN if unknown."""
    known = determined.get(label, {}).get(quantity)
    return math.nan if known is None else float(np.mean(known[chosen]))


def _answered(
    quantity: str, answers: Mapping[str, Maps], references: Mapping[str, Mapping[str, Maps]]
) -> npt.NDArray[np.bool_]:
    """Return where all estimators and references have a value: all are judged on the same voxels."""
    maps = [*answers.values(), *(one for told in references.values() for one in told.values())]
    return np.asarray(np.all([np.isfinite(one[quantity]) for one in maps], axis=0))


def pooled(scores: Sequence[Score]) -> list[Score]:
    """Average the scores of random sub-protocols of every length; others stay as they are."""
    groups: dict[tuple[str | int, ...], list[Score]] = {}
    for score in scores:
        groups.setdefault(score.key, []).append(score)
    return [_mean(group) for group in groups.values()]


def _mean(group: Sequence[Score]) -> Score:
    if len(group) == 1:
        return group[0]
    names = ("mse", "bias", "variance", "lsq", "determined")
    mse, bias, variance, lsq, determined = (
        float(np.mean([getattr(one, name) for one in group])) for name in names
    )
    # Sub-protocols of one scan share voxels: no less uncertain than the mean of single ones.
    se = float(np.mean([one.ratio.se for one in group]))
    ratio = Ratio(mse / lsq if lsq > 0 else np.nan, se)
    return replace(
        group[0], mse=mse, bias=bias, variance=variance, lsq=lsq, ratio=ratio, determined=determined
    )


def over_participants(scores: Sequence[Score]) -> Ratio:
    """Return the ratio of mean squared errors of one estimator over participants, with the error of the mean.

    Parameters
    ----------
    scores
        One of each participant.
    """
    return ratio_of_means(np.array([one.mse for one in scores]), np.array([one.lsq for one in scores]))
