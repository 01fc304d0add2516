"""How far repeated measurements of the same people agree, by the definitions of QIBA.

Within-subject standard deviation and coefficient of variation, repeatability coefficient: Raunig et al. 2015,
doi:10.1177/0962280214537344. Intraclass correlation of a one-way random model and its interval: Shrout and
Fleiss 1979, doi:10.1037/0033-2909.86.2.420. Limits of agreement: Bland and Altman 1999,
doi:10.1177/096228029900800204. All intervals are of 95 % and take errors to be normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST = 3
"""Subjects with repeats below which nothing is computed: intervals would hold everything."""

REPEATABILITY = 1.96 * np.sqrt(2.0)
"""Repeatability coefficient over within-subject standard deviation: 95 % of differences are smaller."""

LOW, HIGH = 0.025, 0.975

Interval = tuple[float, float]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Repeatability:
    """What repeats tell of a measurement.

    Parameters
    ----------
    subjects, measurements
        How many had repeats, and how many values they have together.
    mean
        Of the means of subjects.
    wsd, wcv
        Within-subject standard deviation, in the unit of the values, and coefficient of variation.
    wsd_interval, wcv_interval
        Of these.
    icc, icc_interval
        Intraclass correlation; NaN where subjects do not differ or have no spread.
    difference, limits
        Mean of second minus first measurement, and limits of agreement.
    """

    subjects: int
    measurements: int
    mean: float
    wsd: float
    wsd_interval: Interval
    wcv: float
    wcv_interval: Interval
    icc: float
    icc_interval: Interval
    difference: float
    limits: Interval

    @property
    def rc(self) -> float:
        """Repeatability coefficient, in the unit of the values."""
        return float(REPEATABILITY * self.wsd)

    @property
    def rc_interval(self) -> Interval:
        """Of the repeatability coefficient."""
        low, high = self.wsd_interval
        return float(REPEATABILITY * low), float(REPEATABILITY * high)


def repeatability(repeats: Sequence[Values]) -> Repeatability | None:
    """Compute the repeatability of a measurement.

    Parameters
    ----------
    repeats
        Values of each subject in the order in which they were measured, (k,) each; NaN is left out, and so
        are subjects with fewer than two.

    Returns
    -------
    Repeatability
        None for fewer than `FEWEST` subjects with repeats.
    """
    kept = [values[np.isfinite(values)] for values in map(np.asarray, repeats)]
    kept = [values.astype(np.float64) for values in kept if np.isfinite(values).sum() > 1]
    if len(kept) < FEWEST:
        return None
    counts = np.array([values.size for values in kept])
    means = np.array([values.mean() for values in kept])
    squares = np.array([((values - values.mean()) ** 2).sum() for values in kept])
    freedom = int(counts.sum() - len(kept))
    within = squares.sum() / freedom
    with np.errstate(divide="ignore", invalid="ignore"):
        wcv = float(np.sqrt((squares / means**2).sum() / freedom))
    icc, icc_interval = _icc(counts, means, within)
    difference, limits = _agreement(np.array([values[1] - values[0] for values in kept]))
    return Repeatability(
        subjects=len(kept),
        measurements=int(counts.sum()),
        mean=float(means.mean()),
        wsd=float(np.sqrt(within)),
        wsd_interval=_of_deviation(float(np.sqrt(within)), freedom),
        wcv=wcv,
        wcv_interval=_of_deviation(wcv, freedom),
        icc=icc,
        icc_interval=icc_interval,
        difference=difference,
        limits=limits,
    )


def variation_of_voxels(values: Values, known: npt.NDArray[np.bool_]) -> Values:
    """Return the within-subject coefficient of variation in every voxel of repeats of one person.

    The standard deviation over repeats over the magnitude of their mean, by the definition of QIBA (Raunig et
    al. 2015). That of few repeats scatters, and is low on average; the square root of the mean of its square
    over voxels that are alike is not.

    Parameters
    ----------
    values
        The map of each repeat, (K, V).
    known
        Where it is determined, (K, V).

    Returns
    -------
    ndarray
        (V,), NaN where fewer than two repeats are determined, or their mean is 0.
    """
    used = known & np.isfinite(values)
    count = used.sum(axis=0)
    enough = count > 1
    held = np.where(used, values, 0.0).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = held.sum(axis=0) / count
        squares = np.where(used, (held - mean) ** 2, 0.0).sum(axis=0)
        found = np.sqrt(squares / (count - 1)) / np.abs(mean)
    return np.where(enough & np.isfinite(found), found, np.nan)


def _of_deviation(deviation: float, freedom: int) -> Interval:
    """Return the interval of a standard deviation with so many degrees of freedom."""
    from scipy.stats import chi2

    low, high = freedom / chi2.ppf((HIGH, LOW), freedom)
    return deviation * float(np.sqrt(low)), deviation * float(np.sqrt(high))


def _icc(counts: npt.NDArray[np.int_], means: Values, within: float) -> tuple[float, Interval]:
    """Return the intraclass correlation of single measurements, and its interval (exact for equal counts)."""
    from scipy.stats import f

    total, subjects = int(counts.sum()), counts.size
    grand = float((counts * means).sum() / total)
    between = float((counts * (means - grand) ** 2).sum() / (subjects - 1))
    if within <= 0 or between <= 0:
        return np.nan, (np.nan, np.nan)
    size = (total - float((counts**2).sum()) / total) / (subjects - 1)
    free = subjects - 1, total - subjects
    ratio = between / within
    ends = ratio / f.ppf(HIGH, *free), ratio * f.ppf(HIGH, *free[::-1])
    found, low, high = ((one - 1) / (one + size - 1) for one in (ratio, *ends))
    return float(found), (float(low), float(high))


def _agreement(differences: Values) -> tuple[float, Interval]:
    """Return the mean difference, and the limits between which 95 % of differences lie."""
    mean, spread = float(differences.mean()), float(1.96 * differences.std(ddof=1))
    return mean, (mean - spread, mean + spread)
