"""How estimators agree with a conventional fit of the same measurements, by region or tissue.

As Figure 4 and Table S2 of Rot et al.: means and standard deviations, differences, correlation. Called by
`workflows.evaluate`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from bids_qmri.evaluation.answers import Maps
from bids_qmri.evaluation.scores import (
    FEWEST_VOXELS,
    NOBODY_TELLS,
    Determined,
    Regions,
    share_determined,
)
from bids_qmri.units import FloatArray


@dataclass(frozen=True)
class Agreement:
    """Estimates of one estimator beside those of a conventional fit.

    Parameters
    ----------
    participant, region
        Whose voxels.
    estimator, against
        Their labels.
    quantity
        Name of the parameter.
    mean, sd, against_mean, against_sd
        Of both over voxels, in the unit of the quantity.
    bias, difference_sd
        Mean and standard deviation of the difference, estimator minus conventional fit.
    correlation
        Of Pearson; NaN where one of them is constant.
    r2
        1 - sum (x - y)^2 / sum (y - mean y)^2 of estimates x and those y of the conventional fit; negative
        where the mean of y tells y better than x does.
    voxels
        How many.
    determined, against_determined
        Share of them in which the data determine the quantity by either; NaN where nobody can tell.
    """

    participant: str
    region: str
    estimator: str
    against: str
    quantity: str
    mean: float
    sd: float
    against_mean: float
    against_sd: float
    bias: float
    difference_sd: float
    correlation: float
    r2: float
    voxels: int
    determined: float = math.nan
    against_determined: float = math.nan


def agreements(
    participant: str,
    answers: Mapping[str, Maps],
    conventional: Sequence[str],
    quantities: Sequence[str],
    regions: Regions,
    determined: Determined = NOBODY_TELLS,
) -> Iterator[Agreement]:
    """Yield how every other estimator agrees with each conventional fit.

    Parameters
    ----------
    participant
        Whose voxels.
    answers
        Estimates from all measurements by label of estimators.
    conventional
        Labels of those that others are compared with.
    quantities
        Names of parameters.
    regions
        Voxels of each region.
    determined
        Where all measurements determine what, by label of those that can tell.
    """
    for quantity in quantities:
        maps = {one: found[quantity] for one, found in answers.items()}
        answered = np.all([np.isfinite(values) for values in maps.values()], axis=0)
        for region, inside in regions.items():
            chosen = answered & inside
            if np.count_nonzero(chosen) < FEWEST_VOXELS:
                continue
            for against in (one for one in conventional if one in maps):
                for one in (label for label in maps if label != against):
                    numbers = _agree(maps[one][chosen], maps[against][chosen])
                    shares = [
                        share_determined(determined, label, quantity, chosen) for label in (one, against)
                    ]
                    yield Agreement(
                        participant,
                        region,
                        one,
                        against,
                        quantity,
                        **numbers,
                        voxels=int(chosen.sum()),
                        determined=shares[0],
                        against_determined=shares[1],
                    )


class _Numbers(TypedDict):
    mean: float
    sd: float
    against_mean: float
    against_sd: float
    bias: float
    difference_sd: float
    correlation: float
    r2: float


def _agree(x: FloatArray, y: FloatArray) -> _Numbers:
    difference, spread = x - y, float(((y - y.mean()) ** 2).sum())
    varies = x.std() > 0 and y.std() > 0
    correlation = float(np.corrcoef(x, y)[0, 1]) if varies else np.nan
    r2 = 1.0 - float((difference**2).sum()) / spread if spread > 0 else np.nan
    return _Numbers(
        mean=float(x.mean()),
        sd=float(x.std(ddof=1)),
        against_mean=float(y.mean()),
        against_sd=float(y.std(ddof=1)),
        bias=float(difference.mean()),
        difference_sd=float(difference.std(ddof=1)),
        correlation=correlation,
        r2=r2,
    )
