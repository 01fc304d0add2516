"""Quality of one fit: watch it block by block, summarise its maps, write ``*_qc.tsv`` and ``*_qc.json``.

The JSON file is the record that reports read; it comes last of all outputs and vouches for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.bids.derivatives import write_atomic, write_sidecar
from bids_qmri.bids.images import Series
from bids_qmri.bids.names import derivative_path
from bids_qmri.bids.regions import Regions
from bids_qmri.estimation.blocks import Block, ImageMaps
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import Preparation
from bids_qmri.interfaces.job import FitJob
from bids_qmri.interfaces.motion import motion_by_image, motion_metrics
from bids_qmri.interfaces.scan import OpenAcquisition
from bids_qmri.outputs.tables import OutputTable
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.protocol import Protocol
from bids_qmri.qc.agreement import REFERENCES
from bids_qmri.qc.common import COMMON
from bids_qmri.qc.definitions import MASK, REGION, Metric, as_text, metric_definitions
from bids_qmri.qc.metrics import Metrics, map_metrics, usable_voxels
from bids_qmri.qc.series import SeriesDesign, SeriesTally
from bids_qmri.qc.smoothness import SAMPLED, ResidualTally, rmse_autocorrelation

QUALITY_EXTENSIONS = (".tsv", ".json")
"""Of the table and of the record, in the order in which they are written."""


class Watch:
    """Collect, while blocks are fitted, what cannot be told from maps.

    Parameters
    ----------
    job
        Acquisition and model.
    series
        The opened images.
    how
        What goes into the fit.
    """

    def __init__(self, job: FitJob, series: Series, how: Preparation) -> None:
        self.images = SeriesTally(_design(job.acquisition.protocol, how, series.n_measurements))
        self.residuals = ResidualTally(series.shape)
        self._model = job.model
        self._zooms = tuple(float(size) for size in series.zooms)

    def __call__(self, block: Block) -> None:
        """Take one block."""
        self.images.add(block.measured)
        difference = _residuals(self._model, block)
        if difference is not None:
            self.residuals.add(difference, block.voxels[: len(difference)])

    def metrics(self, sigma: float | None) -> Metrics:
        """Return the metrics of images and residuals, given the noise level if one is known."""
        return self.residuals.metrics(self._zooms) | self.images.metrics(sigma)


def _residuals(model: Model, block: Block) -> npt.NDArray[np.float64] | None:
    """Return measured minus predicted of the first voxels, (v, N); None where no model predicts."""
    if not all(p.name in block.fit.maps for p in model.parameters):
        return None
    first = slice(0, SAMPLED)
    maps = {p.name: np.asarray(block.fit.maps[p.name][first], np.float64) for p in model.parameters}
    known = np.all([np.isfinite(values) for values in maps.values()], axis=0)
    index = np.flatnonzero(usable_voxels(block.fit.status[first]) & known)
    found = np.full((known.size, block.signal.shape[1]), np.nan)
    if not index.size:
        return found
    predicted = model.predict(
        {name: values[index] for name, values in maps.items()}, block.protocol.take(index)
    )
    if predicted is None:
        return None
    found[index] = block.signal[index] - predicted
    # Measurements that the model leaves out have no prediction in any voxel.
    return found[:, np.any(np.isfinite(found), axis=0)]


def _design(protocol: Protocol | None, how: Preparation, n_measurements: int) -> SeriesDesign:
    """Say which images of a series are the reference, and which belong to one shell."""
    if how.baseline is not None:
        return SeriesDesign(n_measurements, np.arange(how.baseline), True)
    if protocol is None:
        return SeriesDesign(n_measurements, np.arange(n_measurements), False)
    shells = protocol.shells()
    bvals, shell = (None, None) if shells is None else shells
    return SeriesDesign(n_measurements, protocol.reference(), protocol.repeated(), shell, bvals)


@dataclass(frozen=True)
class Quality:
    """Metrics of one fit: of the whole mask, of every region by its name, curves by shell, and by image."""

    mask: Metrics
    regions: Mapping[str, Metrics]
    shells: Mapping[str, Any] | None
    motion: Mapping[str, Any] | None = None


def assess(
    job: FitJob,
    opened: OpenAcquisition,
    how: Preparation,
    found: ImageMaps,
    watch: Watch,
    noise: ScanNoise | None,
) -> Quality:
    """Compute all metrics of a fit.

    Parameters
    ----------
    job, opened, how
        What was fitted.
    found
        Maps over the whole grid.
    watch
        What was seen while fitting.
    noise
        Of a single image, None if voxels tell their own or none is known.
    """
    limits = _limits(job, how)
    amplitude = job.table.amplitude
    mask = map_metrics(
        found.maps, found.sd, found.residual, found.status, limits, amplitude, found.determined
    )
    usable = usable_voxels(found.status)
    mask["rmse_autocorrelation"] = rmse_autocorrelation(found.residual, usable, opened.series.shape)
    mask |= watch.metrics(None if noise is None else noise.typical(opened.mask)[1])
    mask["noise_floor"] = None if noise is None else noise.typical(opened.mask)[0]
    mask["b1_coverage"] = how.used.get("B1Coverage")
    mask["denoised_fraction"] = how.used.get("DenoisedFraction")
    mask |= motion_metrics(opened.motion)
    mask["outlier_images"] = None if opened.damaged is None else int(opened.damaged.any(axis=0).sum())
    parts = {} if opened.regions is None else _by_region(found, opened.regions, limits, amplitude)
    return Quality(mask, parts, watch.images.shells(), motion_by_image(opened.motion))


def _by_region(
    found: ImageMaps, regions: Regions, limits: Bounds | None, amplitude: str | None
) -> dict[str, Metrics]:
    """Return the metrics of maps by region."""
    parts: dict[str, Metrics] = {}
    for name, index in region_labels(regions).items():
        voxels = np.flatnonzero(regions.labels == index)
        maps, sd = ({key: values[voxels] for key, values in part.items()} for part in (found.maps, found.sd))
        known = {key: values[voxels] for key, values in found.determined.items()}
        rest = found.residual[voxels], found.status[voxels], limits, amplitude, known
        parts[name] = map_metrics(maps, sd, *rest)
    return parts


def region_labels(regions: Regions) -> dict[str, int]:
    """Return labels by name of the region; those that share a name are told apart by their number."""
    found: dict[str, int] = {}
    for index, name in regions.names.items():
        found[f"{name} {index}" if name in (MASK, *found) else name] = index
    return found


def _limits(job: FitJob, how: Preparation) -> Bounds | None:
    """Return the limits of the free parameters; None where the estimator keeps limits of its own."""
    if job.estimator.own_limits:
        return None
    model = job.model
    lower, upper = model.limits(how.bounds)
    return {
        p.name: (float(low), float(high))
        for p, low, high in zip(model.parameters, lower, upper, strict=True)
        if low < high and not p.internal
    }


def quality_columns(table: OutputTable, label: str, metrics: Mapping[str, Any]) -> dict[str, Metric]:
    """Return what the columns of a fit's table mean, in their order.

    Parameters
    ----------
    table
        What the model writes.
    label
        Of the estimator.
    metrics
        Metrics of the mask, which tell what maps there are.
    """
    units = {row.name: row.unit for row in table.maps if f"{row.name}_median" in metrics}
    known = metric_definitions(units, table.rmse.unit, references_of(table.model, label))
    # A fit that is alone has no voxels in common with others.
    return {name: one for name, one in known.items() if name in metrics or not name.endswith(COMMON)}


def references_of(model: str, label: str) -> tuple[str, ...]:
    """Return the estimators that one is compared with: those of the model that are references, not itself."""
    labels = catalogue.find_entry(model)[1].estimators
    return () if label in REFERENCES else tuple(name for name in REFERENCES if name in labels)


def write_quality(job: FitJob, quality: Quality, used: Mapping[str, Any]) -> None:
    """Write the table and then the record, which makes the fit complete.

    Parameters
    ----------
    job
        Whose fit it is.
    quality
        Its metrics.
    used
        What went into the fit, as sidecar fields.
    """
    fields: dict[str, Any] = {
        "Model": job.model.name,
        "Estimator": job.label,
        "Entities": dict(job.acquisition.entities),
        "Metrics": quality.mask,
        "Regions": dict(quality.regions),
        **used,
    }
    if quality.shells is not None:
        fields["Shells"] = dict(quality.shells)
    if quality.motion is not None:
        fields["Motion"] = dict(quality.motion)
    write_record(job.root, job.acquisition.entities, job.table, job.label, fields)


def write_record(
    output_dir: Path, entities: Mapping[str, str], table: OutputTable, label: str, fields: Mapping[str, Any]
) -> None:
    """Write ``*_qc.tsv``, a row for the mask and one per region, and ``*_qc.json``, its dictionary.

    Parameters
    ----------
    output_dir
        Root of the output dataset.
    entities
        Of the acquisition.
    table
        What the model writes.
    label
        Of the estimator.
    fields
        Content of the record, with Metrics and Regions.
    """
    columns = quality_columns(table, label, fields["Metrics"])
    rows = {MASK: fields["Metrics"], **dict(sorted(fields["Regions"].items()))}
    lines = ["\t".join(["region", *columns])]
    lines += ["\t".join([name, *(as_text(row.get(key)) for key in columns)]) for name, row in rows.items()]
    paths = [
        output_dir / derivative_path(entities, extension=extension, **table.qc_parts(label))
        for extension in QUALITY_EXTENSIONS
    ]
    write_atomic(paths[0], ("\n".join(lines) + "\n").encode("utf-8"))
    dictionary = {"region": {"Description": REGION}} | {
        name: {"Units": metric.units, "Description": metric.description} for name, metric in columns.items()
    }
    write_sidecar(paths[1], {**fields, **dictionary})
