"""Outliers of a study: values far from the median, in units of the median absolute deviation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

OUTLIER_LIMIT = 3.5
"""Robust standard deviations from the median beyond which a value is flagged (Iglewicz and Hoaglin 1993)."""

FEWEST = 5
"""Values below which nothing can be called usual."""

LOW, EITHER, HIGH = -1, 0, 1
JUDGED = {
    "fraction_ok": LOW,
    "rmse_median": HIGH,
    "nrmse": HIGH,
    "rmse_autocorrelation": HIGH,
    "residual_autocorrelation": HIGH,
    "snr": LOW,
    "shell_decay_max_step": HIGH,
    "shell_correlation_median": LOW,
    "shell_correlation_min": LOW,
    "b1_coverage": LOW,
}
"""Metrics that tell good from bad, and their bad side; medians of maps are judged to either side."""

_MAD_TO_SD = 1.4826


def find_outliers(
    metrics: Mapping[str, npt.NDArray[np.float64]], groups: Sequence[Hashable], maps: Sequence[str]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Judge every metric, each group by itself: estimators and regions differ by nature.

    Parameters
    ----------
    metrics
        Values by name, (n,), NaN where missing.
    groups
        What each row belongs to, (n,).
    maps
        Names of the maps of the model.

    Returns
    -------
    dict
        Which rows are outliers, (n,), by metric that is judged.
    """
    sides = {f"{name}_median": EITHER for name in maps} | JUDGED
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    codes = np.array([places[group] for group in groups], dtype=np.intp)
    rows = [np.flatnonzero(codes == place) for place in range(len(places))]
    found: dict[str, npt.NDArray[np.bool_]] = {}
    for name in (name for name in sides if name in metrics):
        found[name] = np.zeros(codes.size, dtype=bool)
        for own in rows:
            found[name][own] = robust_outliers(metrics[name][own], OUTLIER_LIMIT, sides[name])
    return found


def robust_outliers(
    values: npt.NDArray[np.float64], limit: float, side: int = EITHER
) -> npt.NDArray[np.bool_]:
    """Return which values lie further than `limit` robust standard deviations from the median.

    Parameters
    ----------
    values
        Any numbers, (n,); NaN is never an outlier. Fewer than `FEWEST`, or more than half of them equal, have
        no outliers.
    limit
        Distance in units of 1.4826 times the median absolute deviation.
    side
        `LOW` or `HIGH` for outliers below or above the median alone.
    """
    usual = usual_of(values)
    if usual is None:
        return np.zeros(values.size, dtype=bool)
    away = values - usual.median
    distance = np.abs(away) if side == EITHER else side * away
    return np.where(np.isnan(values), -np.inf, distance) > limit * usual.sd


@dataclass(frozen=True)
class Usual:
    """What is usual: median, and robust standard deviation (1.4826 times the median absolute deviation)."""

    median: float
    sd: float


def usual_of(values: npt.NDArray[np.float64]) -> Usual | None:
    """Return what is usual among some values, (n,), NaN where missing.

    None of fewer than `FEWEST`, or where more than half of them are equal: nothing can be called usual then.
    """
    known = values[~np.isnan(values)]
    if known.size < FEWEST:
        return None
    middle = float(np.median(known))
    sd = _MAD_TO_SD * float(np.median(np.abs(known - middle)))
    return Usual(middle, sd) if sd > 0 else None
