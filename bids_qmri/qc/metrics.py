"""Image-quality metrics of one fit: what fraction of voxels can be used, and what the maps look like there.

Called by `interfaces/` right after a fit; the numbers go to a quality file that reports and group tables
read. A metric that cannot be computed is None, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.base import STATUS_MEANING, Status

AMPLITUDES = ("m0", "s0")
"""Maps in the scale of the input images, which residuals are compared with."""

_FITTED = tuple(status for status in Status if status is not Status.OUTSIDE)
_STATISTICS = {
    "median": "Median",
    "iqr": "Interquartile range",
    "p05": "5th percentile",
    "p95": "95th percentile",
}
_WHERE = "over voxels estimated, at a bound or not"

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Metric:
    """What a metric means.

    Parameters
    ----------
    units
        CMIXF-12 string or ``"arbitrary"``.
    description
        One sentence.
    """

    units: str
    description: str


def map_metrics(
    maps: Mapping[str, Values],
    sd: Mapping[str, Values],
    residual: Values,
    status: npt.NDArray[np.uint8],
) -> dict[str, float | None]:
    """Summarise a fit.

    Parameters
    ----------
    maps
        Estimates by parameter name, each (V,).
    sd
        Standard deviations by parameter name, each (V,); may lack parameters.
    residual
        Root mean square residual, (V,).
    status
        Status codes, (V,); voxels outside the mask do not count.

    Returns
    -------
    dict
        Metrics by name, in the order of `metric_definitions`; None where one cannot be computed.
    """
    usable = np.isin(status, (Status.OK, Status.AT_BOUND))
    metrics: dict[str, float | None] = dict(_status_metrics(status))
    for name, values in maps.items():
        metrics |= {f"{name}_{key}": value for key, value in _summary(values[usable]).items()}
        metrics[f"{name}_sd_median"] = _median(sd[name][usable]) if name in sd else None
    metrics["rmse_median"] = _median(residual[usable]) if residual.size else None
    amplitudes = [_median(maps[name][usable]) for name in AMPLITUDES if name in maps]
    metrics["nrmse"] = _ratio(metrics["rmse_median"], amplitudes[0] if amplitudes else None)
    return metrics


def metric_definitions(units: Mapping[str, str], rmse_units: str) -> dict[str, Metric]:
    """Say what the numbers of `map_metrics` mean.

    Parameters
    ----------
    units
        Unit of every map, by parameter name.
    rmse_units
        Unit of the residual.

    Returns
    -------
    dict
        Definitions by metric name.
    """
    known = {"n_voxels": Metric("1", "Number of voxels in the mask.")}
    for status in _FITTED:
        known[f"n_{_word(status)}"] = Metric("1", f"Number of voxels: {STATUS_MEANING[status]}.")
    for status in _FITTED:
        meaning = STATUS_MEANING[status]
        known[f"fraction_{_word(status)}"] = Metric("1", f"Fraction of the mask, 0 to 1: {meaning}.")
    for name, unit in units.items():
        for key, words in _STATISTICS.items():
            known[f"{name}_{key}"] = Metric(unit, f"{words} of {name} {_WHERE}.")
        known[f"{name}_sd_median"] = Metric(unit, f"Median standard deviation of {name} {_WHERE}.")
    known["rmse_median"] = Metric(rmse_units, f"Median root mean square residual {_WHERE}.")
    known["nrmse"] = Metric("1", "rmse_median divided by the median amplitude (M0 or S0).")
    return known


def _word(status: Status) -> str:
    return status.name.lower()


def _status_metrics(status: npt.NDArray[np.uint8]) -> dict[str, float | None]:
    counts = {code: int(np.count_nonzero(status == code)) for code in _FITTED}
    total = sum(counts.values())
    metrics: dict[str, float | None] = {"n_voxels": total}
    metrics |= {f"n_{_word(code)}": count for code, count in counts.items()}
    return metrics | {f"fraction_{_word(code)}": _ratio(count, total) for code, count in counts.items()}


def _summary(values: Values) -> dict[str, float | None]:
    finite = values[np.isfinite(values)].astype(np.float64)
    if finite.size == 0:
        return dict.fromkeys(_STATISTICS)
    p05, p25, p50, p75, p95 = (float(value) for value in np.percentile(finite, (5, 25, 50, 75, 95)))
    return {"median": p50, "iqr": p75 - p25, "p05": p05, "p95": p95}


def _median(values: Values) -> float | None:
    return _summary(values)["median"]


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
