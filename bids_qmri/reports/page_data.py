"""What a fit keeps for its page because maps do not tell it: signals of some voxels, histograms by region.

Written by `interfaces/` beside the figures, so that pages can be made anew when the raw data is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.derivatives import write_sidecar
from bids_qmri.bids.names import derivative_path
from bids_qmri.errors import InputError
from bids_qmri.files import TABLE_LIMIT, parse_json, read_text
from bids_qmri.outputs.tables import OutputTable
from bids_qmri.physics.course import Course
from bids_qmri.reports.records import Record

BINS = 40

SAME = 1e-5
"""Relative difference of values that are one, as in a map of one number."""

SUFFIX = "page"
MASK = "whole mask"
"""Name of the region that is everything."""


@dataclass(frozen=True)
class Trace:
    """Measured and fitted signal of one voxel.

    Parameters
    ----------
    kind
        Why this voxel: ``"median residual"``.
    voxel
        Its indices, from 0.
    rmse
        Root mean square residual.
    estimates
        Value by parameter.
    x, measured
        The N measurements.
    curve_x, curve
        The fitted signal, at as many places as make a smooth line.
    """

    kind: str
    voxel: tuple[int, int, int]
    rmse: float
    estimates: Mapping[str, float]
    x: list[float]
    measured: list[float]
    curve_x: list[float]
    curve: list[float]


@dataclass(frozen=True)
class Histogram:
    """How often values fall into equal parts of a range, by region; values beyond count at its ends."""

    low: float
    high: float
    counts: Mapping[str, list[int]]


@dataclass(frozen=True)
class PageData:
    """All that a fit keeps.

    Parameters
    ----------
    seconds
        How long the fit took, None if not known.
    x_label, y_label
        What the axes of traces mean, with units.
    traces
        Representative voxels, then the worst.
    histograms
        Of every map by name, for every region.
    courses
        What the scan shows over time, the same for all fits of a model.
    """

    seconds: float | None = None
    x_label: str = ""
    y_label: str = ""
    traces: tuple[Trace, ...] = ()
    histograms: Mapping[str, Histogram] | None = None
    courses: tuple[Course, ...] = ()


def page_data_path(output_dir: Path, entities: Mapping[str, str], table: OutputTable, label: str) -> Path:
    """Return where the data of one fit lies."""
    parts = table.qc_parts(label) | {"suffix": SUFFIX}
    name = derivative_path(entities, extension=".json", **parts).name
    return output_dir / f"sub-{entities['sub']}" / "figures" / name


def write_page_data(path: Path, data: PageData) -> None:
    """Write the data of one fit."""
    write_sidecar(path, asdict(data))


def read_page_data(record: Record) -> PageData:
    """Return what a fit kept; nothing if its file is missing or of another kind."""
    path = page_data_path(record.output_dir, record.entities, record.table, record.estimator)
    if not path.is_file():
        return PageData()
    try:
        raw: dict[str, Any] = parse_json(read_text(path, TABLE_LIMIT))
        traces = tuple(Trace(**{**trace, "voxel": tuple(trace["voxel"])}) for trace in raw.pop("traces"))
        histograms = {name: Histogram(**fields) for name, fields in (raw.pop("histograms") or {}).items()}
        courses = tuple(Course(**course) for course in raw.pop("courses", ()))
        return PageData(**raw, traces=traces, histograms=histograms, courses=courses)
    except (InputError, ValueError, TypeError, KeyError):
        # Another version may have kept something else; the page says that there is nothing to show.
        return PageData()


def count_values(
    values: npt.NDArray[Any],
    limits: tuple[float, float] | None,
    regions: Mapping[str, npt.NDArray[Any]],
) -> Histogram:
    """Count values by region.

    Parameters
    ----------
    values
        Estimates of usable voxels, shape (V,).
    limits
        Ends of the range; None: from the data.
    regions
        Which of the V voxels belong to it, by name of the region.
    """
    low, high = limits or _central(values[np.isfinite(values)])
    counts = {}
    for name, inside in regions.items():
        # Single precision does not resolve the bins of large values that hardly differ.
        chosen = np.asarray(values[inside], dtype=np.float64)
        clipped = np.clip(chosen[np.isfinite(chosen)], low, high)
        counts[name] = np.histogram(clipped, BINS, (low, high))[0].tolist()
    return Histogram(low, high, counts)


def _central(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return limits between which all but one percent of the values lie."""
    low, high = map(float, np.percentile(values, (0.5, 99.5)) if values.size else (0.0, 1.0))
    apart = high - low > SAME * abs(high)
    return (low, high) if apart else (low, low + max(1.0, abs(low)))
