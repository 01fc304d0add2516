"""Which metrics the group page shows together, and what people call them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.outputs.tables import OutputTable
from bids_qmri.qc.agreement import REFERENCES
from bids_qmri.qc.definitions import MASK
from bids_qmri.reports.group_table import GroupTable
from bids_qmri.reports.page import short_exponent, shown_exponent, unit_label

SAME = "Medians, same voxels"
"""Set of metrics by which estimators can be compared; scans with one estimator have none."""
OWN = "Medians"
"""Set of metrics of maps, each over the voxels that its own estimator determines."""

_OF_MAPS = {
    SAME: {"common_median": "{}"},
    OWN: {"median": "{}"},
    "Determined": {"determined": "{} determined"},
    "Voxels in common": {"common_voxels": "Voxels in common, {}"},
    "Spread": {"iqr": "IQR of {}"},
    "Low and high values": {"p05": "5th percentile of {}", "p95": "95th percentile of {}"},
    "Error bars": {"sd_median": "sd of {}"},
    "At a limit": {"at_bound": "{} at its limit"},
}
_AGREEMENT = {
    "bias": "{} minus {}",
    "loa_low": "Lower limit of {} minus {}",
    "loa_high": "Upper limit of {} minus {}",
}
_FIT = {
    "fraction_ok": "Estimated, not at a bound",
    "fraction_at_bound": "At a bound",
    "fraction_undetermined": "No parameter determined",
    "fraction_not_converged": "Not converged",
    "fraction_unusable": "Unusable",
    "fraction_out_of_range": "Outside the training",
    "rmse_median": "RMSE",
    "nrmse": "RMSE over amplitude",
    "rmse_autocorrelation": "Autocorrelation of RMSE",
    "residual_autocorrelation": "Autocorrelation of residuals",
    "residual_fwhm": "Smoothness of residuals",
    "n_voxels": "Voxels",
}
_IMAGES = {
    "snr": "SNR",
    "sigma": "Noise, scatter about the model",
    "noise_floor": "Noise floor",
    "sigma_repeats": "Noise, from repetitions",
    "signal_median": "Reference signal",
    "shell_correlation_min": "Correlation within shells, worst image",
    "shell_correlation_median": "Correlation within shells, median",
    "shell_decay_rises": "Steps up of signal with b",
    "shell_decay_max_step": "Largest step of signal with b",
    "b1_coverage": "Known transmit field",
}


@dataclass(frozen=True)
class Shown:
    """One metric of the page.

    Parameters
    ----------
    name
        Column of the table.
    title, unit
        For people; values are divided by ten to the power of `exponent`, which `unit` says.
    description
        Definition.
    group
        The set it is shown with.
    exponent
        Power of ten.
    determined, common
        Columns of the shares and numbers of voxels that the numbers are over; empty: none.
    judged
        Column whose outliers are marked.
    """

    name: str
    title: str
    unit: str
    description: str
    group: str
    exponent: int
    determined: str = ""
    common: str = ""
    judged: str = ""

    @property
    def heading(self) -> str:
        """Title and unit as one line."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def shown_metrics(group: GroupTable) -> list[Shown]:
    """Return the metrics of the page, the most important ones first."""
    known = group.definitions
    found = []
    for name, (title, together) in _titles(group.table).items():
        if name not in known:
            continue
        metric = known[name]
        exponent = 0
        if metric.units != "1":
            by_size = int(np.clip(short_exponent(_typical(group, name)), -12, 12))
            exponent = shown_exponent(metric.units) or by_size
        unit = unit_label(metric.units, exponent)
        others = {key: column for key, column in _others(name, together).items() if column in known}
        found.append(Shown(name, title, unit, metric.description, together, exponent, **others))
    first = OWN if _leaves_out(group) else SAME
    return sorted(found, key=lambda one: one.group != first)


def first_set(shown: Sequence[Shown]) -> list[Shown]:
    """Return the metrics that a page opens with: medians, of common voxels where all fits have such."""
    return [one for one in shown if shown and one.group == shown[0].group]


def _leaves_out(group: GroupTable) -> bool:
    """Tell whether a fit has medians but none of common voxels, as that of a scan with one estimator."""
    whole = np.array([region == MASK for region in group.labels["region"]])
    own, common = (
        _any_known(group, (f"{row.name}_{key}" for row in group.table.maps))
        for key in ("median", "common_median")
    )
    return bool(np.any(whole & own & ~common))


def _any_known(group: GroupTable, names: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Return the rows in which one of some metrics has a value, (n,)."""
    found = np.zeros(len(group.pages), dtype=np.bool_)
    for name in names:
        if name in group.metrics:
            found |= ~np.isnan(group.metrics[name])
    return found


def _others(name: str, together: str) -> dict[str, str]:
    """Return the columns that go with one."""
    if together == SAME:
        bare = name.removesuffix("_common_median")
        # What all estimators have in common depends on the worst of them, so it does not judge the others.
        judged = f"{bare}_median"
        return {"determined": f"{bare}_determined", "common": f"{bare}_common_voxels", "judged": judged}
    return {"determined": f"{name.removesuffix('_median')}_determined"} if together == OWN else {}


def middle_of(group: GroupTable, column: str, rows: npt.NDArray[np.intp]) -> float | None:
    """Return the median of a column over some rows, (n,); None without the column or a number."""
    values = group.metrics[column][rows] if column else np.empty(0)
    values = values[~np.isnan(values)]
    return float(np.median(values)) if values.size else None


def _typical(group: GroupTable, name: str) -> float:
    """Return the size of the numbers of a metric, 0 without any; an outlier does not change it."""
    known = np.abs(group.metrics[name][np.array([region == MASK for region in group.labels["region"]])])
    known = known[~np.isnan(known)]
    return float(np.median(known)) if known.size else 0.0


def _titles(table: OutputTable) -> dict[str, tuple[str, str]]:
    """Return title and set of every metric that the page can show, in its order."""
    symbols = {row.name: row.symbol for row in table.maps}
    first = {together: _of_maps(symbols, together) for together in (SAME, OWN, "Determined")}
    sets = {**first, "Fit": _FIT, "Images": _IMAGES}
    for together in _OF_MAPS:
        sets.setdefault(together, _of_maps(symbols, together))
    for reference in REFERENCES:
        sets[f"Difference from {reference}"] = {
            f"{name}_{key}_{reference}": words.format(symbol, reference)
            for name, symbol in symbols.items()
            for key, words in _AGREEMENT.items()
        }
    return {name: (title, together) for together, one in sets.items() for name, title in one.items()}


def _of_maps(symbols: dict[str, str], together: str) -> dict[str, str]:
    return {
        f"{name}_{key}": words.format(symbol)
        for name, symbol in symbols.items()
        for key, words in _OF_MAPS[together].items()
    }
