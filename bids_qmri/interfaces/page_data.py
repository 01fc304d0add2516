"""Choose what a fit keeps for its page: signals of representative and of the worst voxels, histograms."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.bids.regions import Regions
from bids_qmri.estimation.blocks import Block, ImageMaps, fit_block
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import Preparation
from bids_qmri.estimators.base import FitResult
from bids_qmri.interfaces.job import FitJob
from bids_qmri.interfaces.scan import OpenAcquisition
from bids_qmri.interfaces.shown_voxels import shown_voxels
from bids_qmri.physics.course import Course
from bids_qmri.physics.model import Model
from bids_qmri.qc.metrics import determined_voxels, usable_voxels
from bids_qmri.reports.page import unit_label
from bids_qmri.reports.page_data import (
    MASK,
    Histogram,
    PageData,
    Trace,
    count_values,
    page_data_path,
    write_page_data,
)
from bids_qmri.units import FloatArray


def keep_page_data(
    job: FitJob,
    opened: OpenAcquisition,
    how: Preparation,
    found: ImageMaps,
    noise: ScanNoise | None,
    seconds: float,
) -> None:
    """Write what the page of a fit needs beside its maps.

    Parameters
    ----------
    job, opened, how
        What was fitted.
    found
        Maps over the whole grid.
    noise
        Of a single image, None if unknown.
    seconds
        How long the fit took.
    """
    table = job.table
    x_label, traces = _traces(job, opened, how, found, noise)
    data = PageData(
        seconds=round(seconds, 2),
        x_label=x_label,
        y_label=f"{_quantity(table.rmse.unit)} ({unit_label(table.rmse.unit)})",
        traces=tuple(traces),
        histograms=_histograms(job, found, opened.regions),
        courses=_courses(job, opened, how),
    )
    write_page_data(page_data_path(job.root, job.acquisition.entities, table, job.label), data)


def _courses(job: FitJob, opened: OpenAcquisition, how: Preparation) -> tuple[Course, ...]:
    """Return what the scan shows over time, if its technique has something to show."""
    drawn = catalogue.part(job.model.name, "courses", "courses")
    if drawn is None:
        return ()
    signal, protocol = how.convert(*opened.sample())
    left_out = opened.series.n_measurements - protocol.n_measurements
    found: tuple[Course, ...] = drawn(
        signal, protocol, None if how.baseline is None else how.baseline - left_out
    )
    return found


def _quantity(unit: str) -> str:
    return "concentration" if unit == "mmol/L" else "signal"


def _histograms(job: FitJob, found: ImageMaps, regions: Regions | None) -> dict[str, Histogram]:
    """Count the values of every map in the voxels in which the data determine it, as far as that is known."""
    usable = usable_voxels(found.status)
    histograms = {}
    for name, values in found.maps.items():
        counted = determined_voxels(usable, found.determined.get(name))
        parts = {MASK: np.ones(int(counted.sum()), dtype=bool)}
        if regions is not None:
            labels = regions.labels[counted]
            parts |= {region: labels == index for index, region in regions.names.items()}
        histograms[name] = count_values(values[counted], job.table.estimate(name).range, parts)
    return histograms


def _traces(
    job: FitJob, opened: OpenAcquisition, how: Preparation, found: ImageMaps, noise: ScanNoise | None
) -> tuple[str, list[Trace]]:
    """Return what the horizontal axis means, and the signals of some voxels."""
    chosen = shown_voxels(job.model, opened, found, noise)
    voxels = np.array(list(chosen.values()), dtype=np.intp)
    if not voxels.size:
        return "", []
    series = opened.series
    raw = np.concatenate([series.read(int(voxel), int(voxel) + 1) for voxel in voxels])
    if job.estimator.neighbours:
        converted, protocol = how.convert(raw, voxels)
        fit = FitResult({name: values[voxels].astype(np.float64) for name, values in found.maps.items()})
        block = Block(voxels, raw, converted, protocol, fit)
    else:
        # Fitted once more, because maps do not hold all that predicts a signal.
        block = fit_block(job.model, job.estimator, how, (raw, voxels), noise)
    fitted = job.model.predict(block.fit.maps, block.protocol)
    if fitted is None:
        return "", []
    label, lines = _lines(job.model, block, fitted)
    traces = []
    for line, (kind, voxel) in zip(lines, chosen.items(), strict=True):
        i, j, k = (int(index) for index in np.unravel_index(voxel, series.shape, order="F"))
        place = series.stored.voxel((i, j, k))
        traces.append(
            Trace(
                kind,
                place,
                _short(found.residual[voxel]),
                {name: _short(values[voxel]) for name, values in found.maps.items()},
                *([_short(value) for value in part] for part in line),
            )
        )
    return label, traces


def _short(value: Any) -> float:
    """Return a number with five digits; zero for what is not finite, which JSON has no word for."""
    return float(f"{value:.5g}") if np.isfinite(value) else 0.0


Line = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""x and measured signal, x and fitted signal."""


def _lines(model: Model, block: Block, fitted: FloatArray) -> tuple[str, list[Line]]:
    """Return the lines of every voxel, and what x is."""
    signal, protocol, count = block.signal, block.protocol, len(block.voxels)
    axis = protocol.axis(fitted)
    if axis is None:
        steps = np.arange(1.0, 1.0 + protocol.n_measurements)
        return "measurement", [(steps, signal[i], steps, fitted[i]) for i in range(count)]
    if axis.order is not None:
        return axis.label, [_ordered(signal[i], fitted[i], axis.order[i]) for i in range(count)]
    x = np.broadcast_to(axis.values.reshape(protocol.n_measurements, -1), (protocol.n_measurements, count)).T
    if axis.fine is None:
        return axis.label, [(x[i], signal[i], x[i], fitted[i]) for i in range(count)]
    fine, fine_x = axis.fine
    curves = model.predict(block.fit.maps, fine)
    assert curves is not None
    return axis.label, [(x[i], signal[i], fine_x, curves[i]) for i in range(count)]


def _ordered(measured: FloatArray, fitted: FloatArray, order: npt.NDArray[np.intp]) -> Line:
    steps = np.arange(1.0, 1.0 + order.size)
    return steps, measured[order], steps, fitted[order]
