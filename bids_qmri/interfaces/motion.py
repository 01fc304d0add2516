"""Write how the images of an acquisition moved, and where they lie once they are aligned."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import numpy as np

from bids_qmri.alignment.motion import Motion
from bids_qmri.bids.derivatives import write_atomic, write_map, write_sidecar
from bids_qmri.bids.names import derivative_path
from bids_qmri.bids.sources import resolve_paths
from bids_qmri.interfaces.job import FitJob
from bids_qmri.interfaces.scan import OpenAcquisition
from bids_qmri.qc.metrics import Metrics

COLUMNS = {
    "trans_x": ("mm", "Translation of the object to the left, mean of its voxels, seen from the reference."),
    "trans_y": ("mm", "The same to the front."),
    "trans_z": ("mm", "The same to the head."),
    "rot_x": ("rad", "Rotation about the axis to the left."),
    "rot_y": ("rad", "The same to the front."),
    "rot_z": ("rad", "The same to the head."),
    "framewise_displacement": (
        "mm",
        "Absolute changes from the image before, added; rotations at 50 mm (Power et al. 2012, "
        "doi:10.1016/j.neuroimage.2011.10.018).",
    ),
}
"""Unit and meaning of the columns; rotations are known of aligned images alone."""


def motion_metrics(motion: Motion | None) -> Metrics:
    """Return what quality tables say of it; None where it was not measured."""
    if motion is None:
        return {"motion_max": None, "framewise_displacement_mean": None}
    moved, steps = (values[np.isfinite(values)] for values in (motion.displacement, motion.framewise[1:]))
    return {
        "motion_max": float(moved.max()) if moved.size else None,
        "framewise_displacement_mean": float(steps.mean()) if steps.size else None,
    }


def motion_by_image(motion: Motion | None) -> dict[str, Any] | None:
    """Return what a page draws of it, in mm; None where it was not measured."""
    if motion is None:
        return None
    return {
        "Displacement": [_rounded(value) for value in motion.displacement],
        "FramewiseDisplacement": [_rounded(value) for value in motion.framewise],
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None


def write_motion(job: FitJob, opened: OpenAcquisition) -> None:
    """Write the table of motion, and aligned images with their transforms if they are to be kept.

    Parameters
    ----------
    job
        Any fit of the acquisition.
    opened
        Its images.
    """
    motion, aligned = opened.motion, opened.aligned
    if motion is None:
        return
    about: dict[str, Any] = {"Sources": _sources(job), "Method": METHODS[aligned is not None]}
    if aligned is not None:
        about |= dict(aligned.fields())
    _write_table(job, motion, about)
    if aligned is not None and job.options.save_aligned:
        _write_images(job, opened, about)


METHODS = {
    True: "groupwise registration by elastix, PCA metric (Huizinga et al. 2016, "
    "doi:10.1016/j.media.2015.12.004)",
    False: "peak of the cross-correlation of images averaged to 32 voxels an axis (scikit-image, "
    "doi:10.1364/OL.33.000156)",
}


def motion_files(job: FitJob) -> tuple[str, ...]:
    """Return what is written of the acquisition of a fit, whichever of its fits runs, below the output."""
    kinds = (("timeseries", "motion", (".tsv", ".json")), (_suffix(job), "aligned", (".nii.gz", ".json")))
    return tuple(
        _path(job, suffix, desc, extension).as_posix() for suffix, desc, ends in kinds for extension in ends
    )


def _suffix(job: FitJob) -> str:
    """Return the suffix of the images of an acquisition."""
    last = job.acquisition.images[0].name.split(".")[0].rsplit("_", 1)[-1]
    return "".join(filter(str.isalnum, last)) or job.acquisition.kind


def _path(job: FitJob, suffix: str, desc: str, extension: str) -> PurePosixPath:
    acquisition = job.acquisition
    # Several acquisitions of a folder may share all entities but the kind of their images.
    entities = {"mod": _suffix(job), **acquisition.entities}
    return derivative_path(
        entities, datatype=acquisition.datatype, suffix=suffix, extension=extension, desc=desc
    )


def _sources(job: FitJob) -> list[str]:
    datasets = {"": job.output_dir, "raw": job.bids_dir, **job.options.derivatives}
    found: list[str] = resolve_paths(job.acquisition.images, datasets)
    return found


def _write_table(job: FitJob, motion: Motion, about: dict[str, Any]) -> None:
    parts = [motion.translation]
    names = ["trans_x", "trans_y", "trans_z"]
    if motion.rotation is not None:
        parts.append(motion.rotation)
        names += ["rot_x", "rot_y", "rot_z"]
    names.append("framewise_displacement")
    values = np.column_stack([*parts, motion.framewise])
    lines = ["\t".join(names), *("\t".join(map(_cell, row)) for row in values)]
    write_atomic(
        job.root / _path(job, "timeseries", "motion", ".tsv"), ("\n".join(lines) + "\n").encode("utf-8")
    )
    meaning = {name: {"Units": COLUMNS[name][0], "Description": COLUMNS[name][1]} for name in names}
    write_sidecar(job.root / _path(job, "timeseries", "motion", ".json"), {**about, **meaning})


def _cell(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else "n/a"


def _write_images(job: FitJob, opened: OpenAcquisition, about: dict[str, Any]) -> None:
    """Write the aligned images as one 4-D image, and the matrices in scanner coordinates."""
    aligned = opened.aligned
    assert aligned is not None
    series = aligned.series
    images = series.read(0, series.n_voxels).astype(np.float32)
    stored = series.stored
    path = job.root / _path(job, _suffix(job), "aligned", ".nii.gz")
    protocol = opened.acquisition.protocol
    fields = {**about, "Description": "Images of the series, aligned and interpolated once by cubic splines."}
    if getattr(protocol, "bvecs", None) is not None:
        fields |= {"BValues": protocol.bvals, "Directions": protocol.bvecs}  # type: ignore[union-attr]
    to_scanner, back = series.affine, np.linalg.inv(series.affine)
    fields["Transforms"] = {
        "Description": "From scanner coordinates of the reference to those of each image, RAS, mm; "
        "displacements of splines are not kept.",
        "Matrices": [to_scanner @ one.matrix @ back for one in aligned.alignment.transforms],
    }
    write_sidecar(path.with_name(path.name.removesuffix(".nii.gz") + ".json"), fields)
    write_map(path, stored.values(images), stored.shape, stored.affine, stored.zooms)
