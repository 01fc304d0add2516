"""Choose what a fit keeps for its page: signals of representative and of the worst voxels, histograms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.images import Series
from bids_qmri.bids.regions import Regions
from bids_qmri.estimators.base import Status
from bids_qmri.interfaces.blocks import ImageMaps
from bids_qmri.interfaces.job import FitJob
from bids_qmri.interfaces.noddi import along_image_axes
from bids_qmri.interfaces.prepare import Preparation
from bids_qmri.models.base import Model
from bids_qmri.models.registry import NAMES, get_model
from bids_qmri.outputs.tables import output_table
from bids_qmri.protocol import DceProtocol, DiffusionProtocol, Protocol, VfaProtocol
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
from bids_qmri.units import FloatArray, degrees, radians

REPRESENTATIVE = {"low residual (25th percentile)": 25, "median residual": 50, "high residual (75th)": 75}
WORST = 3
CURVE_POINTS = 64

Voxels = npt.NDArray[np.intp]
Predict = Callable[[FloatArray, Protocol], FloatArray]
"""Takes measured signals (V, N) and their protocol, returns fitted ones (V, N)."""


def keep_page_data(
    job: FitJob,
    series: Series,
    how: Preparation,
    found: ImageMaps,
    regions: Regions | None,
    sigma: float | None,
    seconds: float,
) -> None:
    """Write what the page of a fit needs beside its maps.

    Parameters
    ----------
    job, series, how
        What was fitted.
    found
        Maps over the whole grid.
    regions
        Labelled voxels, None if there are none.
    sigma
        Noise level of a single image, None if unknown.
    seconds
        How long the fit took.
    """
    table = output_table(job.model)
    x_label, traces = _traces(job, series, how, found, sigma)
    data = PageData(
        seconds=round(seconds, 2),
        x_label=x_label,
        y_label=f"{_quantity(table.rmse.unit)} ({unit_label(table.rmse.unit)})",
        traces=tuple(traces),
        histograms=_histograms(job, found, regions),
    )
    write_page_data(page_data_path(job.output_dir, job.acquisition.entities, table, job.label), data)


def _quantity(unit: str) -> str:
    return "concentration" if unit == "mmol/L" else "signal"


def _histograms(job: FitJob, found: ImageMaps, regions: Regions | None) -> dict[str, Histogram]:
    usable = np.isin(found.status, (Status.OK, Status.AT_BOUND))
    parts = {MASK: np.ones(int(usable.sum()), dtype=bool)}
    if regions is not None:
        labels = regions.labels[usable]
        parts |= {name: labels == index for index, name in regions.names.items()}
    table = output_table(job.model)
    return {
        name: count_values(values[usable], table.estimate(name).range, parts)
        for name, values in found.maps.items()
    }


def _choose(found: ImageMaps) -> dict[str, int]:
    """Return voxels to show, by why: at percentiles of the residual, and those with the largest."""
    residual = np.where(np.isfinite(found.residual), found.residual, -1.0)
    usable = np.flatnonzero(np.isin(found.status, (Status.OK, Status.AT_BOUND)) & (residual >= 0))
    chosen: dict[str, int] = {}
    if usable.size:
        ranked = usable[np.argsort(residual[usable], kind="stable")]
        for kind, percent in REPRESENTATIVE.items():
            chosen[kind] = int(ranked[round((ranked.size - 1) * percent / 100)])
    fitted = np.isin(found.status, (Status.OK, Status.AT_BOUND, Status.NOT_CONVERGED)) & (residual >= 0)
    worst = np.flatnonzero(fitted)
    worst = worst[np.argsort(-residual[worst], kind="stable")][:WORST]
    return chosen | {f"worst {rank}": int(voxel) for rank, voxel in enumerate(worst, 1)}


def _traces(
    job: FitJob, series: Series, how: Preparation, found: ImageMaps, sigma: float | None
) -> tuple[str, list[Trace]]:
    """Return what the horizontal axis means, and the signals of some voxels."""
    chosen = _choose(found)
    voxels = np.array(list(chosen.values()), dtype=np.intp)
    if not voxels.size:
        return "", []
    raw = np.concatenate([series.read(int(voxel), int(voxel) + 1) for voxel in voxels])
    signal, protocol = how.convert(raw, voxels)
    predict = _predictor(job, series, found, voxels, sigma)
    if predict is None:
        return "", []
    fitted = predict(signal, protocol)
    label, lines = _lines(job, found, voxels, signal, fitted, protocol)
    traces = []
    for place, (kind, voxel) in enumerate(chosen.items()):
        x, measured, curve_x, curve = lines[place]
        i, j, k = (int(index) for index in np.unravel_index(voxel, series.shape, order="F"))
        traces.append(
            Trace(
                kind,
                (i, j, k),
                _short(found.residual[voxel]),
                {name: _short(values[voxel]) for name, values in found.maps.items()},
                *([_short(value) for value in part] for part in (x, measured, curve_x, curve)),
            )
        )
    return label, traces


def _short(value: Any) -> float:
    """Return a number with five digits; zero for what is not finite, which JSON has no word for."""
    return float(f"{value:.5g}") if np.isfinite(value) else 0.0


def _theta(model: Model, found: ImageMaps, voxels: Voxels) -> FloatArray | None:
    """Return the fitted parameters of some voxels, (P, V); None if the maps do not hold all of them."""
    if not all(p.name in found.maps for p in model.parameters):
        return None
    return np.stack([found.maps[p.name][voxels].astype(np.float64) for p in model.parameters])


def _predictor(
    job: FitJob, series: Series, found: ImageMaps, voxels: Voxels, sigma: float | None
) -> Predict | None:
    """Return what computes fitted signals; None where neither maps nor library can."""
    if job.model in ("tensor", "dki"):
        from bids_qmri.estimators.dipy_tensor import predict_signal

        return lambda signal, protocol: predict_signal(
            job.model, signal, cast(DiffusionProtocol, protocol), sigma=sigma, method=cast(Any, job.label)
        )
    if job.model == "noddi":
        return _noddi_predictor(job, series, found, voxels)
    model = get_model(job.model) if job.model in NAMES else None
    theta = None if model is None else _theta(model, found, voxels)
    if model is None or theta is None:
        return None
    return lambda _, protocol: model.signal(theta, protocol).T


def _noddi_predictor(job: FitJob, series: Series, found: ImageMaps, voxels: Voxels) -> Predict | None:
    """Return what computes the signals of NODDI maps; None of estimators that give no direction or S0."""
    from bids_qmri.models.noddi import noddi_signal

    if "direction" not in found.directions or "s0" not in found.maps:
        return None
    # Turning twice leads back to the axes of the gradients.
    direction = along_image_axes(found.directions["direction"][voxels], series.affine).astype(np.float64)
    ndi, odi, fwf, s0 = (found.maps[name][voxels].astype(np.float64) for name in ("ndi", "odi", "fwf", "s0"))
    d_par, d_iso = job.diffusivities
    return lambda _, protocol: (
        s0[:, None]
        * noddi_signal(
            ndi, odi, fwf, direction, cast(DiffusionProtocol, protocol), d_par=d_par, d_iso=d_iso
        ).T
    )


Line = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


def _lines(
    job: FitJob,
    found: ImageMaps,
    voxels: Voxels,
    signal: FloatArray,
    fitted: FloatArray,
    protocol: Protocol,
) -> tuple[str, list[Line]]:
    """Return x and measured signal, x and fitted signal of every voxel, and what x is."""
    count = len(voxels)
    if isinstance(protocol, DceProtocol):
        return "time (s)", [(protocol.time, signal[i], protocol.time, fitted[i]) for i in range(count)]
    if isinstance(protocol, DiffusionProtocol):
        if not _depends_on_b_alone(fitted, protocol):
            order = "measurement, by b-value and fitted signal"
            return order, [_ordered(signal[i], fitted[i], protocol) for i in range(count)]
        # Protocols without directions have models of b alone.
        fine_x = np.linspace(0.0, protocol.bvals.max(), CURVE_POINTS)
        fine: Protocol = DiffusionProtocol(fine_x)
        x, label = [protocol.bvals] * count, "b-value (s/mm²)"
    elif isinstance(protocol, VfaProtocol) and np.ptp(protocol.repetition_time) == 0:
        angles = np.broadcast_to(
            protocol.flip_angle.reshape(protocol.n_measurements, -1), (protocol.n_measurements, count)
        )
        fine_x = np.linspace(0.5, 1.1 * float(degrees(angles).max()), CURVE_POINTS)
        fine = VfaProtocol(radians(fine_x), protocol.repetition_time[:1])
        x, label = list(degrees(angles).T), "flip angle (degrees)"
    else:
        steps = np.arange(1.0, 1.0 + protocol.n_measurements)
        return "measurement", [(steps, signal[i], steps, fitted[i]) for i in range(count)]
    model = get_model(job.model)
    theta = _theta(model, found, voxels)
    curves = fitted if theta is None else model.signal(theta, fine).T
    return label, [(x[i], signal[i], fine_x, curves[i]) for i in range(count)]


def _depends_on_b_alone(fitted: FloatArray, protocol: DiffusionProtocol) -> bool:
    """Tell whether b can be the axis: no directions, or equal fitted signals at equal b-values."""
    if protocol.bvecs is None:
        return True
    order = np.argsort(protocol.bvals, kind="stable")
    same = np.diff(protocol.bvals[order]) == 0
    steps = np.abs(np.diff(fitted[:, order], axis=1))[:, same]
    return bool(steps.size) and bool(np.all(steps <= 1e-6 * np.abs(fitted).max()))


def _ordered(measured: FloatArray, fitted: FloatArray, protocol: DiffusionProtocol) -> Line:
    """Sort measurements so that the fitted signal falls smoothly; those left out of the fit are not shown."""
    used = np.flatnonzero(np.isfinite(fitted))
    rank = np.lexsort((-fitted[used], np.round(protocol.bvals[used], -2)))
    steps = np.arange(1.0, 1.0 + used.size)
    return steps, measured[used][rank], steps, fitted[used][rank]
