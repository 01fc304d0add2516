"""Write what a fit found: all its maps with their sidecars, and the quality file."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from bids_qmri import __version__
from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.bids.derivatives import map_sidecar, write_map, write_sidecar
from bids_qmri.bids.images import Series
from bids_qmri.bids.masks import MaskChoice
from bids_qmri.bids.names import derivative_path
from bids_qmri.bids.sources import resolve_paths
from bids_qmri.estimation.blocks import ImageMaps
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import Preparation
from bids_qmri.estimators.base import STATUS_MEANING
from bids_qmri.estimators.threads import in_threads
from bids_qmri.interfaces.job import FitJob
from bids_qmri.interfaces.quality import QUALITY_EXTENSIONS, Quality, region_labels, write_quality
from bids_qmri.interfaces.scan import OpenAcquisition
from bids_qmri.outputs.tables import MapRow, OutputTable
from bids_qmri.reports.cautions import WARNINGS, doubts
from bids_qmri.reports.page_data import page_data_path

_ALONG_IMAGE = {"EncodingAxis": 3, "Reference": "ijk", "AntipodalSymmetry": True}


def orientation_encoding(row: MapRow) -> dict[str, Any]:
    """Return how BIDS extension proposal 16 describes volumes along image axes, if they are."""
    if row.volumes == "direction":
        return {"Type": "unit3vector", **_ALONG_IMAGE}
    if row.volumes in ("", "colour"):
        return {}
    return {"Type": row.volumes, **_ALONG_IMAGE, "TensorRank": 2}


def outputs_of(job: FitJob) -> tuple[str, ...]:
    """Return every file that a fit may write, relative to the output dataset.

    Parameters
    ----------
    job
        The fit.
    """
    entities, table = job.acquisition.entities, job.table
    rows = [
        derivative_path(entities, extension=extension, **row.name_parts(job.label))
        for row in table.every_row()
        for extension in (".nii.gz", ".json")
    ]
    quality = [
        derivative_path(entities, extension=extension, **table.qc_parts(job.label))
        for extension in QUALITY_EXTENSIONS
    ]
    drawn = page_data_path(Path(), entities, table, job.label)
    return tuple(path.as_posix() for path in (*rows, *quality, drawn, crash_file(job, Path())))


def crash_file(job: FitJob, root: Path) -> Path:
    """Return where the report of a fit that failed by nobody's fault lies, below a root."""
    return root / f"sub-{job.participant}" / "log" / f"crash-{job.name.replace(' ', '_')}.txt"


def write_outputs(
    job: FitJob,
    opened: OpenAcquisition,
    how: Preparation,
    found: ImageMaps,
    noise: ScanNoise | None,
    quality: Quality,
) -> None:
    """Write everything one fit found; the quality file comes last and so says that the rest is complete.

    Parameters
    ----------
    job
        Whose maps these are.
    opened, how
        Grid, mask and regions; what went into the fit.
    found
        Maps over the whole grid.
    noise
        That was used, None if unknown.
    quality
        Metrics of the fit.
    """
    choice, regions = opened.choice, opened.regions
    used = _used(job, choice, how, noise, opened.mask)
    every = dict.fromkeys((*job.acquisition.sources, *choice.files, *opened.sources))
    acquisition = replace(job.acquisition, sources=tuple(every))
    images = images_of(job.table, choice.mask, found)
    if opened.denoised is not None:
        images.append((job.table.removed, np.where(opened.mask, opened.denoised.removed, np.nan)))
    whole = replace(job, acquisition=acquisition)

    def write(image: tuple[MapRow, npt.NDArray[Any]]) -> None:
        _write(whole, opened.series, *image, used, choice.skull_stripped)

    deque(in_threads(write, images, job.threads), maxlen=0)
    if regions is not None:
        used["Segmentation"] = resolve_paths(regions.file, _datasets(job))
        used["SegmentationLabels"] = region_labels(regions)
    if warned := [note for note in used.get("Notes", ()) if is_warning(note, acquisition, found)]:
        used[WARNINGS] = warned
    write_quality(job, quality, used)


def is_warning(note: str, acquisition: Acquisition, found: ImageMaps) -> bool:
    """Tell whether the log warns of a note: of what was assumed of a scan, what a fit showed, or doubts."""
    return note in acquisition.notes or note in found.notes or doubts(note)


def images_of(
    table: OutputTable, mask: npt.NDArray[np.bool_], found: ImageMaps
) -> list[tuple[MapRow, npt.NDArray[Any]]]:
    """Return all that is written of a fit, each with its row; error bars only if any is known in the mask."""
    images: list[tuple[MapRow, npt.NDArray[Any]]] = [
        (table.estimate(name), values) for name, values in (found.maps | found.directions).items()
    ]
    images += [
        (table.sd(name), values) for name, values in found.sd.items() if np.any(np.isfinite(values[mask]))
    ]
    if np.any(np.isfinite(found.residual[mask])):
        images.append((table.rmse, found.residual))
    images.append((table.status, found.status))
    return images + [(table.determined(name), known) for name, known in found.determined.items()]


def levels_of(row: MapRow) -> dict[str, str]:
    """Return the meaning of the numbers of a map that holds codes; empty for one of quantities."""
    if row.tail == "Determined":
        return {"0": "not determined", "1": "determined"}
    if row.tail == "Status":
        return {str(int(status)): meaning for status, meaning in STATUS_MEANING.items()}
    return {}


def _used(
    job: FitJob, choice: MaskChoice, how: Preparation, noise: ScanNoise | None, mask: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    """Collect what a reader needs to repeat the fit, as sidecar fields."""
    used: dict[str, Any] = {
        "Mask": choice.origin,
        **({"NoiseLevel": None} if noise is None else noise.fields(mask)),
        "RandomSeed": job.seed,
        "SoftwareVersion": __version__,
        **how.used,
    }
    if how.bounds:
        used["Bounds"] = {name: list(limits) for name, limits in how.bounds.items()}
    if job.sloppy:
        used["Sloppy"] = "every eighth voxel only: not for use"
    sloppy = ("sloppy: every eighth voxel only, not for use",) if job.sloppy else ()
    if notes := [*sloppy, *job.acquisition.notes, *how.notes]:
        used["Notes"] = notes
    fields: dict[str, Any] = resolve_paths(used, _datasets(job))
    return fields


def _datasets(job: FitJob) -> dict[str, Path]:
    """Roots of all datasets, by the names that BIDS URIs give them."""
    return {"": job.output_dir, "raw": job.bids_dir, **job.options.derivatives}


def _write(
    job: FitJob,
    series: Series,
    row: MapRow,
    values: npt.NDArray[Any],
    used: Mapping[str, Any],
    brain: bool,
) -> None:
    """Write one map, its sidecar first: whoever sees the image also finds what it means."""
    estimator = job.estimator
    fields = map_sidecar(
        job.acquisition,
        units=row.unit,
        description=row.description,
        algorithm=estimator.description,
        reference=estimator.reference,
        datasets=_datasets(job),
        model=_model_fields(job),
        used=used,
        skull_stripped=brain,
    )
    if levels := levels_of(row):
        fields["Levels"] = levels
    if encoding := orientation_encoding(row):
        fields["OrientationEncoding"] = encoding
    parts = row.name_parts(job.label)
    write_sidecar(_path(job, parts, ".json"), fields)
    stored = series.stored
    write_map(_path(job, parts, ".nii.gz"), stored.values(values), stored.shape, stored.affine, stored.zooms)


def _model_fields(job: FitJob) -> dict[str, Any]:
    """Say which model was fitted, and what it was told."""
    table = job.table
    fields: dict[str, Any] = {
        "Description": table.title,
        "URL": f"https://doi.org/{quote(table.reference.doi)}",
    }
    if told := job.model.told():
        fields["Parameters"] = told
    return fields


def _path(job: FitJob, parts: Mapping[str, Any], extension: str) -> Path:
    return job.root / derivative_path(job.acquisition.entities, extension=extension, **parts)
