"""The maps of a streamed series as DICOM files: a sink of the server."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime
from pathlib import Path

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.inline.dicom import Stack, write_maps
from bids_qmri.inline.dicom_geometry import planes_of_image
from bids_qmri.inline.dicom_identity import identifier, identity
from bids_qmri.inline.dicom_source import SourceImage, read_source
from bids_qmri.inline.dicom_values import MapVolume
from bids_qmri.inline.estimation import SeriesMaps
from bids_qmri.inline.meta import parse_meta
from bids_qmri.inline.output import chosen_maps, quantity
from bids_qmri.inline.session import Sink

log = logging.getLogger("bids_qmri.inline")

NUMBERS_OF_A_SERIES = 100
"""Series numbers that the maps of each source series have for themselves."""

MEANING_OF_STATUS = "What happened in each voxel, as a number."


def dicom_sink(folder: Path, template: Path | None = None, *, parametric_maps: bool = False) -> Sink:
    """Return what writes the maps of every series that is sent, each into a new folder.

    Parameters
    ----------
    folder
        Where these folders go.
    template
        DICOM file of patient and study, read anew for every series; None names nobody.
    parametric_maps
        Write floating-point objects, too.
    """

    def write(found: SeriesMaps) -> None:
        key = uuid.uuid4().hex
        place = folder / f"{datetime.now():%Y%m%d-%H%M%S}-{found.config.model}-{key[:8]}"
        stack = stack_of(found, key, template)
        write_maps(place, stack, map_volumes(found), parametric_maps=parametric_maps)
        log.info("DICOM: %s", place)

    return write


def stack_of(found: SeriesMaps, key: str, template: Path | None) -> Stack:
    """Return what the maps of a series have in common.

    Parameters
    ----------
    found
        The maps.
    key
        What tells this series from all others.
    template
        DICOM file of patient and study.

    Raises
    ------
    InputError
        If the template cannot be read, or is another patient's.
    """
    metas = [parse_meta(image.attributes) for image in found.references]
    sources = [read_source(meta) for meta in metas]
    whose = identity(template, "anonymous", identifier(key, "study"))
    _require_same_patient(str(whose.PatientID), sources, template)
    planes = [
        planes_of_image(image, meta, source)
        for image, meta, source in zip(found.references, metas, sources, strict=True)
    ]
    number = int(found.references[0].header["image_series_index"])
    return Stack(
        identity=whose,
        key=key,
        model=found.config.model,
        estimator=found.config.estimator,
        planes=[plane for slab in planes for plane in slab],
        sources=[source for source, slab in zip(sources, planes, strict=True) for _ in slab],
        first_number=1 + NUMBERS_OF_A_SERIES * number,
    )


def map_volumes(found: SeriesMaps) -> list[MapVolume]:
    """Return the maps that are sent back, as they are written."""
    model = found.config.forward
    parameters = {parameter.name: parameter for parameter in (*model.parameters, *model.derived)}
    volumes = []
    for label in chosen_maps(found):
        values = found.status if label == "status" else found.maps[label]
        how, name = quantity(found.config, label, values.astype(np.float32)), label.removesuffix("Std")
        parameter = parameters.get(name)
        description = parameter.description if parameter else label
        volumes.append(
            MapVolume(
                name=name,
                symbol=parameter.symbol if parameter else name,
                unit=how.unit,
                description=MEANING_OF_STATUS if label == "status" else description,
                window=how.window,
                values=values.reshape(-1, *values.shape[2:]),
                deviation=label.endswith("Std"),
            )
        )
    return volumes


def _require_same_patient(template_id: str, sources: list[SourceImage], template: Path | None) -> None:
    """Refuse a template of somebody else, as far as the stream says whose images these are."""
    others = {source.patient_id for source in sources} - {"", template_id}
    if template is not None and others:
        raise InputError(
            "is not of the patient that the images came with",
            file=template,
            field="PatientID",
            needed="a template of the same patient",
            fix="replace the file; it is read anew for every series",
        )
