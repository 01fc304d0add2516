"""The diagrams of a page: protocol, histograms, signals with their fits, one estimator against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from bids_qmri.outputs.tables import MapRow
from bids_qmri.physics.course import Course
from bids_qmri.reports.charts import Chart, legend, span
from bids_qmri.reports.colours import LINE_COLOURS, palette
from bids_qmri.reports.page import number, shown_exponent, unit_label
from bids_qmri.reports.page_data import MASK, Histogram, PageData, Trace
from bids_qmri.reports.png import encode_indexed
from bids_qmri.reports.protocol import JITTER, varied

MAX_REGIONS = len(LINE_COLOURS)
"""More lines than this cannot be told apart."""
_DENSITY_CELLS = 72
_DENSITY_VOXELS = 100_000
"""So many show where the others lie."""

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Panel:
    """A diagram and the text below it."""

    svg: Markup
    caption: str = ""


def draw_protocol(fields: Mapping[str, Any]) -> Markup | None:
    """Draw what was varied between images: frame times, b-values, flip angles, or any numbers by image.

    Parameters
    ----------
    fields
        Sidecar of a map.

    Returns
    -------
    Markup or None
        None if the sidecar says nothing that can be drawn.
    """
    angles, counts = _numbers(fields.get("FlipAngle")), _numbers(fields.get("BValueCounts"))
    bvals, times = _numbers(fields.get("BValues")), _numbers(fields.get("FrameTimes"))
    if times.size > 1:
        gaps = np.diff(times, append=2 * times[-1] - times[-2])
        axes = ("time of the frame (s)", "until the next (s)")
        return _stems(times, gaps, axes, f"{times.size} frames over {number(float(np.ptp(times)))} s.")
    if bvals.size and bvals.size == counts.size:
        bvals, counts = _joined(bvals, counts)
        axes = ("b-value (s/mm²)", "images")
        return _stems(bvals, counts, axes, f"{int(counts.sum())} images at {bvals.size} b-values.")
    if angles.size > 1:
        each = _numbers(fields.get("RepetitionTimesExcitation") or fields.get("RepetitionTimeExcitation"))
        repetition = 1e3 * (
            np.broadcast_to(each, angles.shape) if each.size in (1, angles.size) else angles * 0
        )
        axes = ("flip angle (degrees)", "repetition time (ms)")
        return _stems(angles, repetition, axes, f"{angles.size} flip angles.")
    if (found := varied(fields)) is not None:
        label, values = found
        numbers = np.arange(1.0, 1.0 + len(values))
        return _stems(numbers, np.array(values), ("image", label), f"{label} of {numbers.size} images.")
    return None


def draw_motion(fields: Mapping[str, Any]) -> Markup | None:
    """Draw how far every image lies from the reference.

    Parameters
    ----------
    fields
        Content of a quality file.

    Returns
    -------
    Markup or None
        None where motion was not measured, and where no image moved.
    """
    known = _displacements(fields)
    if len(known) < 2 or is_still(fields):
        return None
    images, moved = np.array(known).T
    summary = f"Images moved by up to {number(float(moved.max()))} mm."
    return _stems(images, moved, ("image, counted from 0", "displacement (mm)"), summary)


def is_still(fields: Mapping[str, Any]) -> bool:
    """Return whether motion was measured, and no image moved; `fields` as of `draw_motion`."""
    known = _displacements(fields)
    return bool(known) and all(moved == 0 for _, moved in known)


def _displacements(fields: Mapping[str, Any]) -> list[tuple[float, float]]:
    found = fields.get("Motion")
    listed = found.get("Displacement") if isinstance(found, Mapping) else None
    return [
        (float(index), value) for index, value in enumerate(listed or ()) if isinstance(value, int | float)
    ]


def _numbers(value: Any) -> npt.NDArray[np.float64]:
    values = value if isinstance(value, list) else [value]
    known = all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
    return np.array(values if known else [], dtype=np.float64)


def _joined(bvals: Values, counts: Values) -> tuple[Values, Values]:
    """Take neighbours within the scanner's jitter for one b-value, their mean."""
    order = np.argsort(bvals)
    bvals, counts = bvals[order], counts[order]
    first = np.flatnonzero(np.diff(bvals, prepend=-np.inf) > JITTER * bvals)
    total = np.add.reduceat(counts, first)
    return np.add.reduceat(bvals * counts, first) / total, total


def _stems(x: Values, y: Values, labels: tuple[str, str], summary: str) -> Markup:
    chart = Chart(
        span(x, [0.0]),
        (0.0, span(y, floor=0.0)[1] * 1.1 or 1.0),
        x_label=labels[0],
        y_label=labels[1],
        summary=summary,
    )
    chart.stems(x, y, "stem")
    return chart.svg()


def draw_histogram(row: MapRow, histogram: Histogram, by: str) -> Markup:
    """Draw the distribution of a map over the mask, and over every region in a colour of its own.

    Parameters
    ----------
    row
        The map.
    histogram
        Counts, among them those of the whole mask.
    by
        Label of the estimator.
    """
    factor, unit = _scale(row)
    edges = (
        np.linspace(histogram.low, histogram.high, len(next(iter(histogram.counts.values()))) + 1) * factor
    )
    shares = {name: _share(counts) for name, counts in histogram.counts.items()}
    whole = (MASK, shares.pop(MASK))
    named = list(shares.items())[:MAX_REGIONS]
    # Without the ends, which hold all that lies beyond them and would dwarf the rest.
    top = max(float(share[1:-1].max()) for _, share in (whole, *named)) or 1.0
    chart = Chart(
        (edges[0], edges[-1]),
        (0.0, 1.08 * top),
        x_label=f"{row.symbol}{f' ({unit})' if unit else ''}",
        y_label="share of voxels",
        summary=f"Histogram of {row.symbol} by {by} over {', '.join(name for name, _ in (whole, *named))}.",
        hide_y=True,
    )
    x = np.repeat(edges, 2)[1:-1]
    chart.area(x, np.repeat(whole[1], 2), "bulk")
    for (_, share), colour in zip(named, LINE_COLOURS, strict=False):
        chart.line(x, np.repeat(share, 2), "curve", colour)
    names = [(name, colour) for (name, _), colour in zip(named, LINE_COLOURS, strict=False)]
    return chart.svg() + (legend([(whole[0], "var(--bulk)"), *names]) if names else Markup(""))


def _share(counts: Sequence[int]) -> npt.NDArray[np.float64]:
    total = sum(counts)
    return np.array(counts, dtype=np.float64) / (total or 1)


def _scale(row: MapRow) -> tuple[float, str]:
    """Return what to multiply values by for short numbers, and the unit they then have."""
    exponent = shown_exponent(row.unit)
    return 10.0**-exponent, unit_label(row.unit, exponent)


def draw_traces(traces: Sequence[Trace], labels: Sequence[str], data: PageData) -> Markup:
    """Draw the measured signal of a voxel, and what each of some fits makes of it.

    Parameters
    ----------
    traces
        One of each fit, of the same voxel.
    labels
        Of the estimators.
    data
        Of the first fit, for the labels of the axes.
    """
    first = traces[0]
    told = ", ".join(f"RMSE {one.rmse:.4g} by {label}" for one, label in zip(traces, labels, strict=True))
    chart = Chart(
        span(first.x, *(one.curve_x for one in traces)),
        span(first.measured, *(one.curve for one in traces), [0.0]),
        x_label=data.x_label,
        y_label=data.y_label,
        summary=f"Measured and fitted signal of the voxel with {first.kind}, {told}.",
    )
    # Solid, then dashed: the curves of good fits lie on each other.
    for place, one in enumerate(traces):
        kind = "curve" if place == 0 else "curve over"
        chart.line(one.curve_x, one.curve, kind, LINE_COLOURS[1 + place % (len(LINE_COLOURS) - 1)])
    chart.points(first.x, first.measured, "dot")
    return chart.svg()


def draw_course(course: Course) -> tuple[Markup, str]:
    """Draw what a scan shows over time with lines at its marks, and say it in a caption."""
    low, high = span(course.y, [0.0])
    x, y = course.x_label, course.y_label
    chart = Chart(span(course.x), (low, high), x_label=x, y_label=y, summary=course.caption)
    chart.line(course.x, course.y, "curve", LINE_COLOURS[0])
    for place in course.marks.values():
        chart.line([place, place], [low, high], "identity")
    return chart.svg(), course.caption


def draw_scatter(
    row: MapRow, values: Values, reference: Values, labels: tuple[str, str]
) -> tuple[Markup, str]:
    """Draw how often which pair of estimates occurs, and say how many lie beyond the axes.

    Parameters
    ----------
    row
        The map.
    values, reference
        Estimates of the same voxels, each (V,).
    labels
        Of the estimator and of the reference.
    """
    limits = row.range or span(values, reference, floor=0.0)
    factor, unit = _scale(row)
    low, high = limits[0] * factor, limits[1] * factor
    text = f"{row.symbol}{f' ({unit})' if unit else ''}"
    chart = Chart(
        (low, high),
        (low, high),
        x_label=f"{text} by {labels[1]}",
        y_label=f"{text} by {labels[0]}",
        summary=f"{row.symbol} by {labels[0]} against {labels[1]}: density of {values.size} voxels.",
    )
    pair = reference * factor, values * factor
    chart.image(_density(*pair, (low, high), (low, high)))
    chart.line([low, high], [low, high], "identity")
    return chart.svg(), _beyond(*pair, (low, high), (low, high))


def draw_agreement(
    row: MapRow,
    values: Values,
    reference: Values,
    labels: tuple[str, str],
    limits: Mapping[str, float | None],
) -> tuple[Markup, str]:
    """Draw differences over means, with bias and limits of agreement (Bland and Altman), as `draw_scatter`.

    Parameters
    ----------
    row, values, reference, labels
        As for `draw_scatter`.
    limits
        ``bias``, ``loa_low`` and ``loa_high`` in the unit of the map.
    """
    factor, unit = _scale(row)
    difference, mean = (values - reference) * factor, (values + reference) / 2 * factor
    ends = [value * factor for value in limits.values() if value is not None]
    x, y = span(np.percentile(mean, (0.5, 99.5))), span(ends, [0.0], margin=0.6)
    suffix = f" ({unit})" if unit else ""
    chart = Chart(
        x,
        y,
        x_label=f"mean {row.symbol}{suffix}",
        y_label=f"difference{suffix}",
        summary=f"Bland-Altman plot of {row.symbol}, {labels[0]} minus {labels[1]}.",
    )
    chart.image(_density(mean, difference, x, y))
    chart.level(0.0, "identity")
    for key, value in limits.items():
        if value is not None:
            chart.level(value * factor, "bias" if key == "bias" else "limit")
    return chart.svg(), _beyond(mean, difference, x, y)


def _beyond(x: Values, y: Values, x_limits: tuple[float, float], y_limits: tuple[float, float]) -> str:
    """Say how many voxels a diagram does not show; nothing if it shows all."""
    outside = [(v < low) | (v > high) for v, (low, high) in ((x, x_limits), (y, y_limits))]
    many = int(np.count_nonzero(outside[0] | outside[1]))
    return f"{many} of {x.size} voxels lie beyond the axes." if many else ""


def _density(x: Values, y: Values, x_limits: tuple[float, float], y_limits: tuple[float, float]) -> bytes:
    """Return a picture of how many points fall into each cell, empty cells being transparent."""
    step = max(1, x.size // _DENSITY_VOXELS)
    rows, columns = _cells(y[::step], _apart(y_limits)), _cells(x[::step], _apart(x_limits))
    inside = (rows >= 0) & (columns >= 0)
    counts = np.bincount((rows * _DENSITY_CELLS + columns)[inside], minlength=_DENSITY_CELLS**2)
    cells = counts.reshape(_DENSITY_CELLS, _DENSITY_CELLS)
    # The square root keeps single voxels visible beside thousands.
    shade = np.sqrt(cells / max(float(cells.max()), 1.0))
    pixels = np.where(cells > 0, 40 + np.rint(214 * shade), 0).astype(np.uint8)
    return encode_indexed(pixels[::-1], palette("viridis"), transparent=True)


def _cells(values: Values, limits: tuple[float, float]) -> npt.NDArray[np.intp]:
    """Return the cell of each value, -1 outside the limits; as `np.histogram2d`, in less time."""
    edges = np.linspace(*limits, _DENSITY_CELLS + 1)
    position = (values - edges[0]) * (_DENSITY_CELLS / (edges[-1] - edges[0]))
    found = np.fmin(np.fmax(position, 0.0), _DENSITY_CELLS - 1.0).astype(np.intp)
    found -= values < edges[found]
    found += (values >= edges[found + 1]) & (found < _DENSITY_CELLS - 1)
    return np.where((values >= edges[0]) & (values <= edges[-1]), found, -1)


def _apart(limits: tuple[float, float]) -> tuple[float, float]:
    return limits if limits[1] > limits[0] else (limits[0] - 0.5, limits[0] + 0.5)
