"""The maps of a fit as DICOM series, beside the results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.bids.images import Series
from bids_qmri.bids.names import derivative_path
from bids_qmri.errors import InputError
from bids_qmri.estimation.blocks import ImageMaps
from bids_qmri.interfaces.job import DicomOutput, FitJob
from bids_qmri.interfaces.write import images_of
from bids_qmri.outputs.tables import MapRow

if TYPE_CHECKING:
    from bids_qmri.inline.dicom_identity import Identity
    from bids_qmri.inline.dicom_values import MapVolume

NUMBERS_OF_A_MODEL, NUMBERS_OF_AN_ESTIMATOR = 1000, 50
"""Series numbers that each model, and each of its estimators, has for its maps."""


def dicom_identity(job: FitJob) -> Identity | None:
    """Return whose images the DICOM files of a job will be, None if none are asked for.

    Raises
    ------
    InputError
        If templates are asked for, and there is none of this participant and session.
    """
    if job.dicom is None:
        return None
    # Here, as in all of this module: pydicom is an optional package.
    from bids_qmri.inline.dicom_identity import identifier, identity

    session = job.acquisition.entities.get("ses", "")
    study = identifier(job.dicom.run_id, job.participant, session)
    return identity(_template(job.dicom, job.participant, session), f"sub-{job.participant}", study)


def _template(dicom: DicomOutput, participant: str, session: str) -> Path | None:
    if dicom.templates is None:
        return None
    file = dicom.templates / f"sub-{participant}{f'_ses-{session}' if session else ''}.dcm"
    if not file.is_file():
        raise InputError(
            "is not there",
            file=file,
            field="--dicom-templates",
            needed="one DICOM file per participant and session",
            fix="add it, or leave --dicom-templates out",
        )
    return file


def write_dicom(
    job: FitJob, identity: Identity, series: Series, mask: npt.NDArray[np.bool_], found: ImageMaps
) -> None:
    """Write every map of one number a voxel as a DICOM series; directions have no such form.

    Parameters
    ----------
    job
        Whose maps these are; its `dicom` says where they go.
    identity
        Patient and study.
    series
        Grid of the maps.
    mask
        Voxels that were fitted, (V,).
    found
        Maps over the whole grid.

    Raises
    ------
    InputError
        If the grid has no form in DICOM, or files cannot be written.
    """
    if job.dicom is None:
        return
    from bids_qmri.inline.dicom import Stack, write_maps
    from bids_qmri.inline.dicom_geometry import planes_of_affine

    table, stored = job.table, series.stored
    parts = table.qc_parts(job.label) | {"suffix": table.suffix}
    place = derivative_path(job.acquisition.entities, extension=".nii", **parts).with_suffix("")
    stack = Stack(
        identity=identity,
        key=f"{job.dicom.run_id}/{place}",
        frame=f"{job.dicom.run_id}/{job.acquisition.datatype}/{job.acquisition.label}",
        model=job.model.name,
        estimator=job.label,
        planes=planes_of_affine(stored.affine, stored.shape[2]),
        first_number=_first_number(job),
    )
    volumes = [
        _volume(row, stored.values(values), stored.shape)
        for row, values in images_of(job.table, mask, found)
        if not row.volumes
    ]
    write_maps(job.dicom.folder / place, stack, volumes, parametric_maps=job.dicom.parametric_maps)


def _first_number(job: FitJob) -> int:
    _, entry = catalogue.find_entry(job.model.name)
    place = entry.estimators.index(job.label)
    return 1 + NUMBERS_OF_A_MODEL * entry.number + NUMBERS_OF_AN_ESTIMATOR * place


def _volume(row: MapRow, values: npt.NDArray[Any], shape: tuple[int, int, int]) -> MapVolume:
    from bids_qmri.inline.dicom_values import MapVolume

    determined = row.tail == "Determined"
    return MapVolume(
        name=row.name + row.tail * determined,
        symbol=f"{row.symbol} determined" if determined else row.symbol,
        unit=row.unit,
        description=row.description,
        window=row.range,
        values=values.reshape(shape, order="F").T,
        deviation=row.tail == "Std",
    )
