"""Where a map comes from, in the words of BIDS: URIs of its sources and the protocol they share.

Called by `derivatives.map_sidecar`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, DceSettings
from bids_qmri.protocol import DiffusionProtocol, VfaProtocol
from bids_qmri.units import FloatArray, degrees

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
        BIDS keys in BIDS units (degrees, seconds), beside ``BValues`` (s/mm^2) with ``BValueCounts`` and
        ``FrameTimes`` (s), for which BIDS has no word.
    """
    meta = acquisition.metadata
    fields: dict[str, Any] = {key: meta[key] for key in _TEXT_KEYS if isinstance(meta.get(key), str)}
    fields |= {key: meta[key] for key in _NUMBER_KEYS if isinstance(meta.get(key), int | float)}
    if isinstance(acquisition.protocol, VfaProtocol):
        return fields | _vfa_fields(acquisition.protocol)
    if isinstance(acquisition.protocol, DiffusionProtocol):
        return fields | _dwi_fields(acquisition.protocol)
    return fields if acquisition.dce is None else fields | _dce_fields(acquisition.dce)


def _short(values: FloatArray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _vfa_fields(protocol: VfaProtocol) -> dict[str, Any]:
    fields: dict[str, Any] = {"FlipAngle": _short(degrees(protocol.flip_angle))}
    times = sorted(set(_short(protocol.repetition_time)))
    # BIDS knows one number for this key; several go to a key of our own.
    if len(times) == 1:
        return fields | {"RepetitionTimeExcitation": times[0]}
    return fields | {"RepetitionTimesExcitation": _short(protocol.repetition_time)}


def _dwi_fields(protocol: DiffusionProtocol) -> dict[str, Any]:
    rounded, inverse = np.unique(np.round(protocol.bvals), return_inverse=True)
    counts = np.bincount(inverse, weights=protocol.weights)
    return {"BValues": rounded.tolist(), "BValueCounts": counts.round().astype(int).tolist()}


def _dce_fields(dce: DceSettings) -> dict[str, Any]:
    return {
        "FlipAngle": float(f"{float(degrees(dce.flip_angle)):.6g}"),
        "RepetitionTimeExcitation": dce.repetition_time,
        "FrameTimes": _short(dce.time),
        "ContrastAgentRelaxivity": dce.relaxivity,
        "Hematocrit": dce.hematocrit,
        "ArterialInput": dce.aif.name,
        "ValueOrigins": dict(dce.origin),
    }
