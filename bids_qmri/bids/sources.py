"""Where a map comes from, in the words of BIDS: URIs of its sources and the protocol they share.

Called by `derivatives.map_sidecar`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from bids_qmri.bids.acquisition import Acquisition

_TEXT_KEYS = (
    "ContrastBolusAgent",
    "ContrastBolusIngredient",
    "MRAcquisitionType",
    "Manufacturer",
    "ManufacturersModelName",
    "PhaseEncodingDirection",
    "PulseSequenceType",
    "ScanningSequence",
    "SequenceName",
    "SpoilingType",
)
_NUMBER_KEYS = (
    "BigDelta",
    "EchoTime",
    "ImagingFrequency",
    "MagneticFieldStrength",
    "RepetitionTime",
    "SmallDelta",
    "SpoilingRFPhaseIncrement",
    "TotalReadoutTime",
)


def bids_uri(path: Path, datasets: Mapping[str, Path]) -> str:
    """Return how a sidecar names a file: ``bids:raw:sub-01/anat/sub-01_flip-1_VFA.nii.gz``.

    Parameters
    ----------
    path
        The file.
    datasets
        Roots by dataset name, the dataset that holds the sidecar as ``""``. The deepest root that holds the
        file names it; a file in none of them becomes a ``file:`` URI.
    """
    # Not resolve(): files of a DataLad dataset are links that lead out of it.
    file = path.absolute()
    roots = {name: root.absolute() for name, root in datasets.items()}
    homes = [name for name, root in roots.items() if file.is_relative_to(root)]
    if not homes:
        return file.as_uri()
    name = max(homes, key=lambda home: len(roots[home].parts))
    return f"bids:{name}:{quote(file.relative_to(roots[name]).as_posix())}"


def file_of(uri: str, datasets: Mapping[str, Path]) -> Path | None:
    """Return the file that `bids_uri` named, None where its dataset is not among those.

    Parameters
    ----------
    uri
        What a sidecar says.
    datasets
        Roots by dataset name.
    """
    kind, _, rest = uri.partition(":")
    if kind == "file":
        return Path(unquote(urlsplit(uri).path))
    name, _, path = rest.partition(":")
    return datasets[name] / unquote(path) if kind == "bids" and name in datasets else None


def resolve_paths(value: Any, datasets: Mapping[str, Path]) -> Any:
    """Return `value` with every path in it, at any depth of lists and mappings, as a BIDS URI."""
    if isinstance(value, Path):
        return bids_uri(value, datasets)
    if isinstance(value, Mapping):
        return {key: resolve_paths(item, datasets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve_paths(item, datasets) for item in value]
    return value


def protocol_fields(acquisition: Acquisition) -> dict[str, Any]:
    """Return the acquisition's constant sidecar keys and what was varied, as number arrays.

    Parameters
    ----------
    acquisition
        Anything that can be fitted.

    Returns
    -------
    dict
        BIDS keys in BIDS units (degrees, seconds), beside ``BValues`` (s/mm^2) with ``BValueCounts``,
        ``FrameTimes`` (s) and ``ScaledBy`` (factors of the images), for which BIDS has no word.
    """
    meta = acquisition.metadata
    fields: dict[str, Any] = {key: meta[key] for key in _TEXT_KEYS if isinstance(meta.get(key), str)}
    fields |= {key: meta[key] for key in _NUMBER_KEYS if isinstance(meta.get(key), int | float)}
    fields |= {"ScaledBy": list(acquisition.scale)} if acquisition.scale else {}
    varied = acquisition.settings if acquisition.protocol is None else acquisition.protocol
    return fields if varied is None else fields | varied.sidecar_fields()
