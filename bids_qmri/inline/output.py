"""Maps as MRD images: whole numbers with their scale and unit, the geometry and names of the series kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri import __version__
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import STATUS_MEANING, Status
from bids_qmri.inline.config import Config
from bids_qmri.inline.encoding import without_encoding
from bids_qmri.inline.estimation import SeriesMaps
from bids_qmri.inline.meta import Meta, format_meta, parse_meta
from bids_qmri.inline.wire import INT16, MAGNITUDE, Image

LEAST_SCALE, LEAST_RANGE = 1000.0, 1000.0
"""Values are multiplied by 1000, by further tens until their range spans as many whole numbers, by fewer
where it would not fit."""

LARGEST = 32767
COUNTERS_OF_ONE_IMAGE = ("average", "contrast", "phase", "repetition", "set")


@dataclass(frozen=True)
class Quantity:
    """How a map is stored and shown.

    Parameters
    ----------
    name, symbol, unit
        Name in code, notation of the field, CMIXF-12 unit.
    scale
        What values in `unit` are multiplied by.
    window
        Values in `unit` at the ends of the grey scale.
    """

    name: str
    symbol: str
    unit: str
    scale: float
    window: tuple[float, float]


def chosen_maps(found: SeriesMaps) -> list[str]:
    """Return the names of the maps to send.

    Raises
    ------
    InputError
        If the estimator did not make one that is asked for.
    """
    names = found.config.maps or found.config.forward.main
    there = [*found.maps, "status"]
    for name in names:
        if name not in there:
            raise InputError(
                f"{found.config.model} by {found.config.estimator} gives no {name[:64]!r}",
                field="maps",
                needed=f"some of {', '.join(there)}",
            )
    return list(names)


def quantity(config: Config, name: str, values: npt.NDArray[np.float32]) -> Quantity:
    """Return how a map is stored.

    Parameters
    ----------
    config
        What made it.
    name
        Of a parameter, ``NAMEStd``, or ``status``.
    values
        The map; its largest value decides where the model sets no limit.
    """
    if name == "status":
        return Quantity(name, "status", "1", 1.0, (0.0, float(max(Status))))
    model = config.forward
    known = {p.name: p for p in (*model.parameters, *model.derived)}
    parameter = known.get(name.removesuffix("Std"))
    high = parameter.bounds[1] if parameter else np.inf
    unit, symbol = (parameter.unit, parameter.symbol) if parameter else ("1", name)
    limited = 0 < high < np.inf
    if not limited:
        high = max(float(np.nanmax(np.abs(values), initial=0.0)), 1e-30)
    scale = 10.0 ** np.floor(np.log10(LARGEST / high))
    if limited:
        further = max(np.ceil(np.log10(LEAST_RANGE / (high * LEAST_SCALE))), 0.0)
        scale = min(scale, LEAST_SCALE * 10.0**further)
    if name.endswith("Std"):
        return Quantity(name, f"{symbol}_sd", unit, float(scale), (0.0, high / 4))
    window = parameter.training if parameter and np.isfinite(parameter.bounds[1]) else (0.0, high)
    return Quantity(name, symbol, unit, float(scale), window)


def whole_numbers(values: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.int16]:
    """Return rounded multiples; what is not finite becomes 0, what is too large the largest number."""
    scaled = np.nan_to_num(values.astype(np.float64) * scale, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(np.rint(scaled), -LARGEST, LARGEST).astype(np.int16)


def map_images(found: SeriesMaps, first_series: int) -> Iterator[Image]:
    """Yield the images of all maps to send, map by map, slice by slice.

    Parameters
    ----------
    found
        Maps of one series.
    first_series
        Series index of the first map; the others follow.
    """
    origin = [without_encoding(parse_meta(image.attributes)) for image in found.references]
    for place, name in enumerate(chosen_maps(found)):
        values = found.status.astype(np.float32) if name == "status" else found.maps[name]
        how = quantity(found.config, name, values)
        for number, (reference, meta) in enumerate(zip(found.references, origin, strict=True)):
            header = reference.header.copy()
            header["data_type"], header["image_type"], header["channels"] = INT16, MAGNITUDE, 1
            header["image_series_index"] = (first_series + place) % 2**16
            header["image_index"] = number + 1
            for counter in COUNTERS_OF_ONE_IMAGE:
                header[counter] = 0
            attributes = format_meta(meta | _attributes(found, how, meta, reference))
            yield Image(header, attributes, whole_numbers(values[number], how.scale).ravel())


def _attributes(found: SeriesMaps, how: Quantity, meta: Meta, reference: Image) -> Meta:
    """Return what a map says of itself; names that hosts interpret come first."""
    low, high = how.window
    made_by = f"{found.config.model} {found.config.estimator}"
    series = _first(meta, "SeriesDescription", "SequenceDescription") or found.header.name
    comment = f"{how.symbol} x {how.scale:g}, unit {how.unit}, {made_by}"
    own: Meta = {
        "DataRole": ["Quantitative"],
        "ImageType": ["DERIVED", "PRIMARY", "M", how.symbol.upper()],
        "SequenceDescriptionAdditional": [how.symbol],
        "SeriesDescription": [f"{series}_{how.symbol}" if series else how.symbol],
        "ImageComments": [comment],
        "ImageComment": [comment],
        "ImageProcessingHistory": [f"bids_qmri {__version__}", made_by],
        "RescaleSlope": [f"{1 / how.scale:g}"],
        "RescaleIntercept": ["0"],
        "RescaleType": [how.unit],
        "WindowCenter": [f"{(low + high) / 2:g}"],
        "WindowWidth": [f"{high - low:g}"],
        "Keep_image_geometry": ["1"],
        "QuantityName": [how.name],
        "QuantityUnit": [how.unit],
        "QuantityScale": [f"{how.scale:g}"],
    }
    for name, field in (("ImageRowDir", "read_dir"), ("ImageColumnDir", "phase_dir")):
        if name not in meta:
            own[name] = [f"{x:.9g}" for x in reference.header[field]]
    if how.name == "status":
        own["QuantityLevels"] = [f"{int(s)}: {meaning}" for s, meaning in STATUS_MEANING.items()]
    return own


def _first(meta: Meta, *names: str) -> str:
    return next((meta[name][0] for name in names if meta.get(name)), "")
