"""Quality metrics of one fit from its maps: how many voxels can be used, and what the maps look like there.

Called by `interfaces/quality.py` for the whole mask and for every region. A metric that cannot be computed is
None, never zero. Statistics of a map are over the voxels in which the data determine it, where that is known.
What the numbers mean is in `definitions.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.base import ESTIMATED, Status
from bids_qmri.physics.limits import at_bound
from bids_qmri.physics.model import Bounds

FITTED = tuple(status for status in Status if status is not Status.OUTSIDE)

STATISTICS = ("median", "iqr", "p05", "p95")

Values = npt.NDArray[np.floating[Any]]
Known = npt.NDArray[np.bool_ | np.uint8]
Metrics = dict[str, float | None]


def usable_voxels(status: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return where there is an estimate, at a bound or not, determined or not, (V,)."""
    return np.isin(status, ESTIMATED)


def determined_voxels(usable: npt.NDArray[np.bool_], known: Known | None) -> npt.NDArray[np.bool_]:
    """Return the usable voxels in which the data determine a map; all where nobody can tell, None."""
    return usable if known is None else usable & known.astype(bool)


def map_metrics(
    maps: Mapping[str, Values],
    sd: Mapping[str, Values],
    residual: Values,
    status: npt.NDArray[np.uint8],
    limits: Bounds | None = None,
    amplitude: str | None = None,
    determined: Mapping[str, Known] | None = None,
) -> Metrics:
    """Summarise the maps of a fit, over the mask or over the voxels of one region.

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
    limits
        Limits of the parameters that were free, by name; maps without limits have no fraction at a bound.
    amplitude
        Name of the map in the scale of the input images, which residuals are compared with; None: there is
        none.
    determined
        Where the data determine a map, by its name, each (V,); may lack maps.

    Returns
    -------
    dict
        Metrics by name, in the order of `definitions.metric_definitions`; None where one cannot be computed.
    """
    usable = usable_voxels(status)
    metrics: Metrics = dict(_status_metrics(status))
    for name, values in maps.items():
        known = (determined or {}).get(name)
        counted = determined_voxels(usable, known)
        metrics |= {f"{name}_{key}": value for key, value in _summary(values[counted]).items()}
        metrics[f"{name}_sd_median"] = median(sd[name][counted]) if name in sd else None
        metrics[f"{name}_at_bound"] = _share_at_bound(values[usable], (limits or {}).get(name))
        metrics[f"{name}_determined"] = None if known is None else share(known[usable])
    metrics["rmse_median"] = median(residual[usable]) if residual.size else None
    whole = median(maps[amplitude][usable]) if amplitude and amplitude in maps else None
    metrics["nrmse"] = ratio(metrics["rmse_median"], whole)
    return metrics


def median(values: Values) -> float | None:
    """Return the median of the finite values, None if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite.astype(np.float64))) if finite.size else None


def share(known: Known) -> float | None:
    """Return the share of voxels, None without any."""
    return float(np.mean(known.astype(bool))) if known.size else None


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return a quotient, None where a number is missing or the denominator is 0."""
    return part / whole if part is not None and whole else None


def _status_metrics(status: npt.NDArray[np.uint8]) -> Metrics:
    counts = {code: int(np.count_nonzero(status == code)) for code in FITTED}
    total = sum(counts.values())
    metrics: Metrics = {"n_voxels": total}
    metrics |= {f"n_{code.name.lower()}": count for code, count in counts.items()}
    return metrics | {f"fraction_{code.name.lower()}": ratio(count, total) for code, count in counts.items()}


def _summary(values: Values) -> Metrics:
    finite = values[np.isfinite(values)].astype(np.float64)
    if finite.size == 0:
        return dict.fromkeys(STATISTICS)
    p05, p25, p50, p75, p95 = (float(value) for value in np.percentile(finite, (5, 25, 50, 75, 95)))
    return {"median": p50, "iqr": p75 - p25, "p05": p05, "p95": p95}


def _share_at_bound(values: Values, limits: tuple[float, float] | None) -> float | None:
    """Return the fraction of the finite values that lie at a limit, None without limits or values."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if limits is None or finite.size == 0:
        return None
    # Maps are float32, in which a limit such as 0.003 has another value than in the fit.
    low, high = (np.array([float(np.float32(limit))]) for limit in limits)
    return float(np.mean(at_bound(finite[None], low, high)))
