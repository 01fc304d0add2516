"""Mean squared errors, their ratios, and how well both are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.evaluation import scores
from bids_qmri.evaluation.scores import Ratio
from bids_qmri.units import FloatArray
from kuppens.cells import Errors


@dataclass(frozen=True)
class Accuracy:
    """Errors of one estimator on one quantity.

    Parameters
    ----------
    count
        Curves with an answer.
    missing
        Share of the curves asked without one.
    mean, median, lower, upper
        Of the squared error; `lower` and `upper` are quartiles.
    bias, variance
        Of the error.
    spread
        Root mean square of the estimator's own standard deviation over that of the prior.
    covered
        Share of the truths within one such standard deviation.
    """

    count: int
    missing: float
    mean: float
    median: float
    lower: float
    upper: float
    bias: float
    variance: float
    spread: float
    covered: float


def accuracy(errors: Errors, row: str, quantity: str) -> Accuracy | None:
    """Return the accuracy of an estimator, None where it was not asked."""
    asked = errors.asked.get(row)
    if asked is None or not asked.any():
        return None
    error, sd = errors.error[row][quantity][asked], errors.sd[row][quantity][asked]
    known = np.isfinite(error)
    if not known.any():
        return None
    e, s = error[known], sd[known]
    quartiles = np.percentile(e**2, [25, 50, 75])
    said = np.isfinite(s)
    return Accuracy(
        int(known.sum()),
        float(1 - known.mean()),
        float(np.mean(e**2)),
        float(quartiles[1]),
        float(quartiles[0]),
        float(quartiles[2]),
        float(e.mean()),
        float(e.var()),
        float(np.sqrt(np.mean(s[said] ** 2)) / errors.prior_sd[quantity]) if said.any() else np.nan,
        float(np.mean(np.abs(e[said]) <= s[said])) if said.any() else np.nan,
    )


def ratio(errors: Errors, row: str, against: str, quantity: str) -> Ratio | None:
    """Return MSE(row) / MSE(against) on the curves that both answered, with the standard error of pairs.

    The delta method: both errors of a curve depend on the same noise, so that their ratio is known better
    than either. Where the curves come from several protocols, those are the units that vary.
    """
    if row not in errors.error or against not in errors.error:
        return None
    a, b = (errors.error[name][quantity] ** 2 for name in (row, against))
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 2:
        return None
    return ratio_of_means(a[both], b[both], errors.label[both])


def ratio_of_means(a: FloatArray, b: FloatArray, groups: npt.NDArray[np.str_] | None = None) -> Ratio:
    """Return mean(a) / mean(b) with its standard error, by groups where there are at least eight."""
    if groups is not None:
        place = np.unique(groups, return_inverse=True)[1]
        if place.max() >= 7:
            a, b = (np.bincount(place, x) for x in (a, b))
    return scores.ratio_of_means(a, b)
