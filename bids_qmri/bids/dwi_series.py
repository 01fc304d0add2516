"""One diffusion image with its tables and its sidecar: read, checked, its volumes told. b in s/mm^2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.acquisition import ReadOptions
from bids_qmri.bids.gradients import read_bvals, read_directions
from bids_qmri.bids.image_type import derived_note, is_trace, why_not_measured
from bids_qmri.bids.layout import BidsFile, ParticipantFiles
from bids_qmri.bids.lenient import read_lenient_sidecar
from bids_qmri.bids.nifti import Header, read_header
from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.bids.undirected import resolve_undirected
from bids_qmri.errors import InputError
from bids_qmri.files import GRADIENT_LIMIT, read_bytes
from bids_qmri.physics.directions import count_directions
from bids_qmri.units import FloatArray

ONE_VALUE = ("EchoTime", "FlipAngle", "RepetitionTime", "InversionTime")
"""Keys of which one series of a model has one value, though BIDS allows one per volume."""

DIFFUSION_TIMES = ("SmallDelta", "BigDelta")
"""Keys that models of hindered diffusion do not know."""

SAME_VALUE = 0.01
"""Relative difference of values of such a key that are one."""

PLAIN_MS_UM2 = (0.3, 3.0)
"""A largest b-value in this range beside b = 0 is in ms/um^2 whatever else is there."""

FEWEST_STEPS = 4
"""b-values from which on a series may serve models without directions."""

LARGEST_MS_UM2 = 20.0
"""A largest b-value below this can only be in ms/um^2, if its images have directions or steps."""


class NoSeriesError(InputError):
    """What is no series of any model: said, but nobody's fault."""


@dataclass(frozen=True, eq=False)
class DwiSeries:
    """One image with what is known of its volumes.

    Parameters
    ----------
    image, header
        The file.
    sidecar
        Its metadata; keys with one value per volume that are all equal have that value.
    bvals
        s/mm^2, (N,).
    bvecs
        Unit vectors or 0 0 0, (N, 3); None if there are none.
    kept
        Volumes that are used, (N,).
    tables
        Files of b-values and directions.
    notes
        What a person should know.
    b0_threshold
        b-values up to this many s/mm^2 count as b = 0.
    without_directions
        Why its directions cannot be read, though its b-values can; None if there is nothing wrong.
    """

    image: BidsFile
    header: Header
    sidecar: Sidecar
    bvals: FloatArray
    bvecs: FloatArray | None
    kept: npt.NDArray[np.bool_]
    tables: tuple[Path, ...]
    notes: tuple[str, ...]
    b0_threshold: float
    without_directions: InputError | None = None

    @property
    def volumes(self) -> tuple[int, ...] | None:
        """Which volumes are used, None if all are."""
        return None if self.kept.all() else tuple(np.flatnonzero(self.kept).tolist())

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Keys and values for the maps."""
        return self.sidecar.values


def read_series(image: BidsFile, files: ParticipantFiles, options: ReadOptions) -> DwiSeries:
    """Read what belongs to a diffusion image.

    Raises
    ------
    NoSeriesError
        It is no diffusion series: a single volume, one without tables, phase, or a map.
    InputError
        Naming what does not fit together.
    """
    notes: list[str] = []
    header = read_header(image.path)
    sidecar = read_lenient_sidecar(image, files, notes)
    _require_series(image, header, sidecar)
    bval, bvec = _tables(image, files, notes)
    sidecar = _one_value_each(sidecar, header.n_volumes, notes)
    notes += [note] if (note := derived_note(sidecar)) else []
    bvals = read_bvals(bval, header.n_volumes)
    bvecs, fault = _directions(bvec, bvals, options.b0_threshold, notes)
    _require_s_mm2(bval, bvals, bvecs)
    kept = np.ones(bvals.size, dtype=bool)
    if bvecs is not None and is_trace(sidecar):
        notes.append(
            f"{sidecar.where('ImageType').name}: ImageType says that these are averages over directions "
            "(trace): the directions of the bvec file are not used; fix: give the images of single directions"
        )
        bvecs = None
    if bvecs is not None and bvec is not None:
        bvals, kept = resolve_undirected(image.path, (bval, bvec), bvals, bvecs, options.b0_threshold, notes)
    tables = (bval,) if bvec is None else (bval, bvec)
    return DwiSeries(
        image, header, sidecar, bvals, bvecs, kept, tables, tuple(notes), options.b0_threshold, fault
    )


def _require_series(image: BidsFile, header: Header, sidecar: Sidecar) -> None:
    """Refuse a single volume, and what holds no measured magnitudes."""
    if header.n_volumes < 2:
        raise NoSeriesError(
            f"is a single volume of {' x '.join(map(str, header.shape[:3]))}",
            file=image.path,
            field="dim",
            needed="a 4-D image, one volume per b-value",
            fix="merge the volumes in the order of the gradient table, if they are a series",
        )
    if (reason := why_not_measured(sidecar)) is not None:
        raise NoSeriesError(
            reason.seen, file=reason.file, field=reason.field, needed=reason.needed, fix=reason.fix
        )


def _tables(image: BidsFile, files: ParticipantFiles, notes: list[str]) -> tuple[Path, Path | None]:
    """Return the files of b-values and of directions, None for the latter if there are none of the image."""
    bval, bvec = _table(image, files, ".bval"), _table(image, files, ".bvec")
    if bval is None:
        raise NoSeriesError(
            "has no .bval file, here or in the folders above",
            file=image.path,
            field="bval",
            needed="one b-value in s/mm^2 per volume",
            fix=f"add {image.stem}.bval, if it is a series of diffusion weightings",
        )
    if bvec is not None and _of_another(bval, bvec):
        notes.append(
            f"{bvec.name} belongs to {bvec.with_suffix('.bval').name}, not to {bval.name}: its "
            "directions are "
            f"not used; fix: add {image.stem}.bvec"
        )
        bvec = None
    return bval, bvec


def _directions(
    path: Path | None, bvals: FloatArray, b0_threshold: float, notes: list[str]
) -> tuple[FloatArray | None, InputError | None]:
    """Return directions, or why there are none.

    Raises
    ------
    InputError
        The table is damaged and nothing can be fitted without it, or lengths speak against the b-values.
    """
    if path is None:
        return None, None
    try:
        return read_directions(path, bvals, b0_threshold, notes), None
    except InputError as error:
        # Lengths cast doubt on b-values; anything else costs directions alone where b-values have steps.
        if error.field == "bvec" or np.unique(np.round(bvals, -1)).size < FEWEST_STEPS:
            raise
        return None, error


def _table(image: BidsFile, files: ParticipantFiles, extension: str) -> Path | None:
    """Return the nearest table of an image.

    Raises
    ------
    InputError
        Two are equally near and not the same.
    """
    tables = files.inherited(image, extension)
    if not tables:
        return None
    first = tables[0]
    rivals = [
        other
        for other in tables[1:]
        if other.path.parent == first.path.parent
        and len(other.entities) == len(first.entities)
        and read_bytes(other.path, GRADIENT_LIMIT) != read_bytes(first.path, GRADIENT_LIMIT)
    ]
    if rivals:
        raise InputError(
            f"and {', '.join(other.path.name for other in rivals)} apply equally to {image.path.name}, "
            "and differ",
            file=first.path,
            field=extension.removeprefix("."),
            needed="one nearest table per image",
            fix=f"name the right one {image.stem}{extension}",
        )
    return first.path


def _of_another(bval: Path, bvec: Path) -> bool:
    """Whether a table of directions stands beside b-values of its own that are not the image's."""
    own = bvec.with_suffix(".bval")
    return (
        own != bval and own.is_file() and read_bytes(own, GRADIENT_LIMIT) != read_bytes(bval, GRADIENT_LIMIT)
    )


def _one_value_each(sidecar: Sidecar, n_volumes: int, notes: list[str]) -> Sidecar:
    """Replace lists of equal values by the value.

    Raises
    ------
    InputError
        A key that all volumes of a series share has several values.
    """
    values = dict(sidecar.values)
    for key in (*ONE_VALUE, *DIFFUSION_TIMES):
        listed = values.get(key)
        if not isinstance(listed, list):
            continue
        numbers = _numbers(listed)
        different = sorted(set(numbers))
        if (
            numbers
            and len(numbers) == len(listed)
            and different[-1] - different[0] <= SAME_VALUE * abs(different[-1])
        ):
            values[key] = numbers[0]
            continue
        seen = ", ".join(f"{x:g}" for x in different[:6]) or str(listed)[:60]
        if key in DIFFUSION_TIMES:
            notes.append(
                f"{sidecar.where(key).name}: {key} has the values {seen}: models here know no diffusion "
                "time and "
                "take all volumes alike; fix: give one diffusion time per file"
            )
            del values[key]
            continue
        raise InputError(
            f"has {len(different)} values for {n_volumes} volumes: {seen}",
            file=sidecar.where(key),
            field=key,
            needed="one value for all volumes of a series: signals of different ones differ not by "
            "diffusion alone",
            fix="split the series into one file per value (acq-), or correct the sidecar",
        )
    return Sidecar(sidecar.image, values, sidecar.origin, sidecar.files)


def _numbers(listed: list[Any]) -> list[float]:
    """Return the numbers of a list, those that are written as text too."""
    numbers = []
    for value in listed:
        try:
            numbers.append(float(value))
        except (TypeError, ValueError):
            continue
    return numbers


def _require_s_mm2(path: Path, bvals: FloatArray, bvecs: FloatArray | None) -> None:
    """Refuse b-values that can only be in ms/um^2."""
    largest = float(bvals.max())
    if not 0 < largest <= LARGEST_MS_UM2:
        return
    directed = bvecs is not None and count_directions(bvecs[bvals > 0.05 * largest]) >= 6
    if directed or _is_in_steps(bvals):
        raise InputError(
            f"holds b-values up to {largest:g}: they are in ms/um^2",
            file=path,
            field="bval",
            needed="s/mm^2",
            fix="multiply by 1000",
        )


def _is_in_steps(bvals: FloatArray) -> bool:
    """Whether low b-values are weightings of a series, told without directions."""
    levels = np.unique(bvals)
    if levels[0] == 0 and PLAIN_MS_UM2[0] <= levels[-1] <= PLAIN_MS_UM2[1]:
        return True
    return levels.size >= 4 and bool(np.any(levels != levels.round()))
