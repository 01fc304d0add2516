"""Write derivatives so that a file with its final name is always complete.

Everything goes to a hidden temporary name in the same folder, is flushed to the disk, read back, and renamed.
Called by `interfaces/` for maps and sidecars and by `reports/` for pages and tables.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.bids.packing import pack, unpack
from bids_qmri.bids.sources import protocol_fields, resolve_paths
from bids_qmri.errors import InputError, InternalError
from bids_qmri.owner import this_process

HEADER = 348
"""Bytes of a header of NIfTI-1."""

_GEOMETRY_TOLERANCE = 1e-3  # mm; what single precision leaves of an affine


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file that appears under its name only when it is complete on the disk.

    Parameters
    ----------
    path
        Final name; missing folders are made.
    content
        All bytes of the file.

    Raises
    ------
    OSError
        The disk is full or the folder not writable; nothing is left behind and an older file stays as it was.
    InternalError
        What is read back differs from what was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name must fit where that of the file fits.
    part = path.parent / f".{path.name[:150]}.{this_process().token}.{uuid.uuid4().hex[:8]}.part"
    try:
        with part.open("xb") as stream:
            try:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error
        if part.read_bytes() != content:
            raise InternalError("what was read back differs from what was written", file=path)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_sidecar(path: Path, fields: Mapping[str, Any]) -> None:
    """Write a JSON file with sorted keys, the same bytes for the same content.

    Parameters
    ----------
    path
        Final name.
    fields
        Content; numpy numbers and arrays become plain ones.

    Raises
    ------
    ValueError
        A number is NaN or infinite: JSON has no word for it, say None (null).
    """
    text = json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_plain)
    write_atomic(path, (text + "\n").encode("utf-8"))


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written to JSON")


def write_map(
    path: Path,
    values: npt.NDArray[Any],
    shape: tuple[int, int, int],
    affine: npt.ArrayLike,
    zooms: Sequence[float],
) -> None:
    """Write a parameter map as compressed NIfTI-1 without scaling, byte-identical for equal input.

    Parameters
    ----------
    path
        Final name, ending in ``.nii.gz``.
    values
        One value or K values per voxel of the grid, shape (V,) or (V, K), voxels in Fortran order.
        Floating-point values are stored as float32, uint8 as uint8.
    shape
        The three dimensions of the grid, V = their product.
    affine
        Voxel indices to scanner coordinates in mm, shape (4, 4).
    zooms
        Voxel sizes in mm.

    Raises
    ------
    InputError
        The affine is singular or not finite.
    InternalError
        The number of values does not match the grid, or the type is neither floating point nor uint8.
    """
    array = np.asarray(values)
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise InternalError(f"values are {array.dtype}", file=path, needed="floating point or uint8")
    if array.ndim not in (1, 2) or array.shape[0] != int(np.prod(shape)):
        raise InternalError(f"values have shape {array.shape}", file=path, needed=f"{np.prod(shape)} voxels")
    stored = array.astype(np.uint8 if array.dtype == np.uint8 else np.float32, copy=False)
    volume = stored.reshape((*shape, *array.shape[1:]), order="F")
    raw = _nifti_bytes(volume, _checked_affine(affine, path), zooms)
    packed = pack(raw)
    if unpack(packed) != raw:
        raise InternalError("the compressed map does not unpack to its values", file=path)
    write_atomic(path, packed)


def read_map(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return the values of a map that `write_map` has written, (X, Y, Z) or (X, Y, Z, K), and its affine."""
    from bids_qmri.bids.lean import nib

    raw = unpack(path.read_bytes())
    header: Any = nib.Nifti1Header(raw[:HEADER], check=False)
    start, shape = int(header["vox_offset"]), header.get_data_shape()
    values = np.frombuffer(raw, header.get_data_dtype(), int(np.prod(shape)), start)
    return values.reshape(shape, order="F"), np.asarray(header.get_best_affine())


def _checked_affine(affine: npt.ArrayLike, path: Path) -> npt.NDArray[np.float64]:
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)) or np.linalg.det(matrix[:3, :3]) == 0:
        raise InputError(
            "the affine is singular or not finite",
            file=path,
            field="sform",
            needed="an invertible 4 x 4 matrix in mm",
            fix="repair the header of the input image",
        )
    return matrix


def _nifti_bytes(volume: npt.NDArray[Any], affine: npt.NDArray[np.float64], zooms: Sequence[float]) -> bytes:
    """Serialise a volume."""
    sizes = tuple(float(size) for size in zooms[:3])
    return _header_bytes(volume.shape, volume.dtype, affine.tobytes(), sizes) + volume.tobytes(order="F")


@lru_cache(maxsize=4)
def _header_bytes(
    shape: tuple[int, ...], dtype: np.dtype[Any], affine_bytes: bytes, sizes: tuple[float, ...]
) -> bytes:
    """Return what stands before the values; the maps of a scan share it.

    The quaternion is written only if it tells the same geometry as the affine.
    """
    from bids_qmri.bids.lean import nib

    affine = np.frombuffer(affine_bytes).reshape(4, 4)
    image = nib.Nifti1Image(np.zeros(shape, dtype), affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_zooms((*sizes, *(1.0,) * (len(shape) - 3)))
    if not np.allclose(image.header.get_qform(), affine, atol=_GEOMETRY_TOLERANCE):
        image.header["qform_code"] = 0
    image.header.set_xyzt_units("mm", "sec")
    whole = bytes(image.to_bytes())
    return whole[: len(whole) - int(np.prod(shape)) * dtype.itemsize]


def map_sidecar(
    acquisition: Acquisition,
    *,
    units: str,
    description: str,
    algorithm: str,
    reference: str,
    datasets: Mapping[str, Path],
    model: Mapping[str, Any] | None = None,
    used: Mapping[str, Any] | None = None,
    skull_stripped: bool = False,
) -> dict[str, Any]:
    """Return the sidecar of one map.

    Parameters
    ----------
    acquisition
        What was fitted; its files become Sources, its constant keys are copied.
    units, description
        From the row of the output table.
    algorithm, reference
        What estimated the map, and the publication.
    datasets
        Roots of datasets by the names in DatasetLinks (``{"raw": ...}``), the output dataset as ``""``.
    model
        Name, equation and parameters of the model: Description, URL, Parameters.
    used
        What else went into the estimate (B1 map, mask, native T1, arterial input); paths become BIDS URIs.
    skull_stripped
        True if voxels outside the brain were set to zero.

    Returns
    -------
    dict
        Keys and values for `write_sidecar`.
    """
    fields = protocol_fields(acquisition)
    fields |= {
        "Description": description,
        "EstimationAlgorithm": algorithm,
        "EstimationReference": reference,
        "SkullStripped": skull_stripped,
        "Sources": resolve_paths(acquisition.sources, datasets),
        "Units": units,
    }
    if model:
        fields["Model"] = dict(model)
    return fields | {key: resolve_paths(value, datasets) for key, value in (used or {}).items()}
