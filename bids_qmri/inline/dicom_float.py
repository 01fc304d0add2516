"""A map in floating point as one Parametric Map object, for readers that know it; highdicom builds it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.content import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID

from bids_qmri import __version__
from bids_qmri.inline.dicom_values import MapVolume, quantity_code, unit_code

NUMBERS_APART = 10000
"""Added to the number of the series of whole numbers."""


def parametric_map(volume: MapVolume, images: Sequence[Dataset], series: UID, instance: UID) -> ParametricMap:
    """Return a map as single-precision numbers; NaN stays NaN.

    Parameters
    ----------
    volume
        The map.
    images
        The same map as MR images, which place it and say whose it is.
    series, instance
        Identifiers.
    """
    first = images[0]
    code, meaning = unit_code(volume.unit)
    quantity, scheme, name = quantity_code(volume)
    values = volume.values.astype(np.float32)
    finite = values[np.isfinite(values)]
    mapping = RealWorldValueMapping(
        lut_label=first.RealWorldValueMappingSequence[0].LUTLabel,
        lut_explanation=first.RealWorldValueMappingSequence[0].LUTExplanation,
        unit=Code(code, "UCUM", meaning),
        value_range=(float(np.min(finite, initial=0.0)), float(np.max(finite, initial=0.0))),
        slope=1.0,
        intercept=0.0,
        quantity_definition=Code(quantity, scheme, name),
    )
    found = ParametricMap(
        source_images=images,
        pixel_array=values,
        series_instance_uid=series,
        series_number=int(first.SeriesNumber) + NUMBERS_APART,
        sop_instance_uid=instance,
        instance_number=1,
        manufacturer=first.Manufacturer,
        manufacturer_model_name=first.ManufacturerModelName,
        software_versions=__version__,
        device_serial_number="1",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[
            VOILUTTransformation(
                window_center=float(first.WindowCenter),
                window_width=float(first.WindowWidth),
                voi_lut_function=first.VOILUTFunction,
            )
        ],
        content_label=first.RealWorldValueMappingSequence[0].LUTLabel,
        content_description=volume.symbol,
    )
    found.SeriesDescription = f"{first.SeriesDescription} float"[:64]
    found.Laterality = ""
    return found
