"""What a map is like in every region, or in the whole mask where there are none, for the viewer of a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bids_qmri.outputs.tables import MapRow
from bids_qmri.reports.cautions import HARDLY_DETERMINED
from bids_qmri.reports.page import number, shown_exponent
from bids_qmri.reports.records import Record

MOST = 12
"""Regions that the viewer lists; the table of the fit has all."""

ESTIMATED = ("n_ok", "n_at_bound", "n_undetermined")
"""Metrics that count the voxels with an estimate."""

Statistics = tuple[str, str, str, str, bool]
"""Region, median and interquartile range in the unit that the page tells the map in, how many of the region's
voxels they are over (``"105 of 111"``, or ``"111"`` for all), and whether these are few."""


def region_statistics(record: Record, row: MapRow) -> list[Statistics]:
    """Return the statistics of a map, the regions with the most voxels first.

    Parameters
    ----------
    record
        The fit.
    row
        The map.

    Returns
    -------
    list
        Of regions in which the map has a value, no more than `MOST`; of the mask where no region has one.
    """
    regions = record.fields.get("Regions")
    named = regions.items() if isinstance(regions, Mapping) else ()
    found = [line for name, metrics in named for line in _line(str(name), metrics, row)]
    found.sort(key=lambda line: -line[0])
    return [told for _, told in found[:MOST] or _line("whole mask", record.metrics, row)]


def counted(record: Record, row: MapRow) -> str:
    """Return which voxels the statistics of a map are over, in one word."""
    return "estimated" if record.metrics.get(f"{row.name}_determined") is None else "determined"


def _line(name: str, metrics: Any, row: MapRow) -> Iterator[tuple[int, Statistics]]:
    """Yield the number of voxels that the statistics are over, and the line; nothing without a median."""
    values = metrics if isinstance(metrics, Mapping) else {}
    median, iqr = (_known(values.get(f"{row.name}_{key}")) for key in ("median", "iqr"))
    counts = [_known(values.get(key)) for key in ESTIMATED]
    if median is None or iqr is None or None in counts:
        return
    scale = 10.0 ** -shown_exponent(row.unit)
    share = _known(values.get(f"{row.name}_determined"))
    estimated = sum(count for count in counts if count is not None)
    over = round(estimated * (1.0 if share is None else share))
    every = _known(values.get("n_voxels"))
    told = f"{over}" if every in (None, over) else f"{over} of {every:.0f}"
    numbers = number(float(f"{median * scale:.4g}")), number(float(f"{iqr * scale:.3g}"))
    yield over, (name, *numbers, told, share is not None and share < HARDLY_DETERMINED)


def _known(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
