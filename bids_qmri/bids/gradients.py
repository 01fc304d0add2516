"""Gradient tables: b-values and directions from text files, checked.

Directions stay as BIDS and FSL store them: along the image axes, the first one mirrored where the
voxel-to-mm matrix has a positive determinant. Quantities without direction (diffusivities, anisotropy) do
not depend on the choice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.vector_lengths import wrong_lengths
from bids_qmri.errors import InputError
from bids_qmri.files import GRADIENT_LIMIT, RESTORE, in_words, read_text
from bids_qmri.units import FloatArray

LARGEST_B = 1e5
"""s/mm^2; larger numbers can only be s/m^2."""

NORM_TOLERANCE = 0.05

ROUNDING = 0.02
"""Lengths of directions differ from 1 by less where digits were cut."""


def read_table(path: Path, *, missing: bool = False) -> list[list[float]]:
    """Read rows of numbers separated by blanks, tabs or commas; what follows ``#`` is a comment.

    Parameters
    ----------
    path
        The file.
    missing
        Let NaN through: converters write it where nothing was played out.

    Raises
    ------
    InputError
        If the file is not text, empty, or holds something that is not a finite number.
    """
    needed = "finite numbers separated by blanks"
    text = read_text(path, GRADIENT_LIMIT, needed=needed, fix=RESTORE)
    rows: list[list[float]] = []
    for line_number, line in enumerate(text.splitlines(), start=1):
        words = re.split(r"[\s,;]+", line.partition("#")[0].strip(" \t\r,;"))
        if words == [""]:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError as error:
            raise InputError(
                f"line {line_number}: {in_words(error)}", file=path, needed=needed, fix=RESTORE
            ) from error
        bad = np.isinf(row) if missing else ~np.isfinite(row)
        if np.any(bad):
            raise InputError(
                f"line {line_number} holds a value that is not finite",
                file=path,
                needed=f"{needed} (directions at b = 0 are 0 0 0)",
                fix="write 0 for the images at b = 0, or leave the damaged images out",
            )
        rows.append(row)
    if not rows:
        raise InputError("is empty", file=path, needed=needed, fix=RESTORE)
    return rows


def read_bvals(path: Path, n_volumes: int) -> FloatArray:
    """Read b-values in s/mm^2, shape (N,), written as one row or one column.

    Parameters
    ----------
    path
        The file.
    n_volumes
        N, the length of the image's fourth axis.

    Raises
    ------
    InputError
        If there is not one b-value per volume, or a value is negative or too large for s/mm^2.
    """
    rows = read_table(path)
    if len(rows) > 1 and max(map(len, rows)) > 1:
        raise InputError(
            f"has {len(rows)} rows",
            file=path,
            needed="one row of b-values",
            fix="check that it is not the bvec",
        )
    bvals = np.array([value for row in rows for value in row])
    if bvals.size != n_volumes:
        raise _wrong_count(path, bvals.size, n_volumes, "b-value")
    if bvals.min() < 0 or bvals.max() >= LARGEST_B:
        wrong = bvals.min() if bvals.min() < 0 else bvals.max()
        fix = "divide by 1e6 if they are in s/m^2" if wrong > 0 else "correct the value"
        raise InputError(
            f"holds the b-value {wrong:g}", file=path, needed="s/mm^2, 0 or above, below 1e5", fix=fix
        )
    return bvals


def read_bvecs(path: Path, bvals: FloatArray, b0_threshold: float) -> FloatArray | None:
    """Read unit directions, shape (N, 3), of a table in which every weighted image has one, or none has.

    Arguments and errors as of `read_directions`; some weighted images without a direction are one more.
    """
    vectors = read_directions(path, bvals, b0_threshold, [])
    weighted = np.flatnonzero(bvals > b0_threshold)
    if vectors is not None and np.any(without := ~vectors[weighted].any(axis=1)):
        worst = int(weighted[without][0])
        raise InputError(
            f"volume {worst} (b = {bvals[worst]:g}) has a direction of length 0",
            file=path,
            needed=f"unit vectors (within {NORM_TOLERANCE:.0%}) where b is above {b0_threshold:g} s/mm^2",
            fix="leave the volume out, or raise --b0-threshold if it is a b = 0 image",
        )
    return vectors


def read_directions(
    path: Path, bvals: FloatArray, b0_threshold: float, notes: list[str]
) -> FloatArray | None:
    """Read unit directions, shape (N, 3), written as three rows or three columns.

    Parameters
    ----------
    path
        The file.
    bvals
        The series' b-values, (N,).
    b0_threshold
        Up to this b-value a direction may be missing.
    notes
        What a person should know is added here.

    Returns
    -------
    Unit vectors, zero where there is none; None if no weighted image has one (averages over directions).

    Raises
    ------
    InputError
        If there is not one direction per volume, or weighted images have directions of another length.
    """
    table = _three_columns(path, read_table(path, missing=True), bvals.size)
    if np.any(absent := np.any(np.isnan(table), axis=1)):
        table = np.where(absent[:, None], 0.0, table)
        notes.append(
            f"{path.name}: volumes {counted(absent)} have the direction NaN, read as 0 0 0 (no direction); "
            "fix: write 0 0 0"
        )
    length = np.linalg.norm(table, axis=1)
    weighted = bvals > b0_threshold
    if np.any(weighted) and not np.any(length[weighted]):
        return None
    is_unit = np.abs(length - 1) <= NORM_TOLERANCE
    wrong = weighted & ~is_unit & (length > 0)
    if np.any(wrong):
        raise wrong_lengths(path, bvals, length, wrong)
    # Just off 1 by rounding is one thing; a length that all share, or that goes with b, was meant.
    off = weighted & (length > 0) & (np.abs(length - 1) > ROUNDING)
    if np.any(off):
        notes.append(
            f"{path.name}: {np.count_nonzero(off)} directions have a length of {length[off].min():.3g} to "
            f"{length[off].max():.3g}; read as unit vectors of the b-values in the bval file (MRtrix would "
            "multiply b by the squared length); fix: write unit vectors if these b-values are right"
        )
    return np.where(is_unit[:, None], table / np.where(is_unit, length, 1.0)[:, None], 0.0)


def counted(chosen: npt.NDArray[np.bool_]) -> str:
    """Return the numbers of chosen volumes, from 0, as text: ``1, 4-6``."""
    numbers = np.flatnonzero(chosen)
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(str(run[0]) if run.size == 1 else f"{run[0]}-{run[-1]}" for run in runs if run.size)


def _three_columns(path: Path, rows: Sequence[Sequence[float]], n_volumes: int) -> FloatArray:
    widths = {len(row) for row in rows}
    if len(rows) == n_volumes == 3 and widths == {3}:
        table = np.array(rows)
        # Three volumes: whichever way round gives lengths of 0 and 1; FSL's where both do.
        lengths = [np.linalg.norm(one, axis=1) for one in (table.T, table)]
        fits = [np.all((np.abs(x - 1) <= NORM_TOLERANCE) | (x == 0)) for x in lengths]
        return table if fits == [False, True] else table.T
    if len(rows) == 3 and widths == {n_volumes}:
        return np.array(rows).T
    if len(rows) == n_volumes and widths == {3}:
        return np.array(rows)
    if len(widths) == 1 and 3 in (len(rows), *widths):
        raise _wrong_count(path, max(len(rows), *widths), n_volumes, "direction")
    raise InputError(
        f"has {len(rows)} rows of {' or '.join(map(str, sorted(widths)))} numbers",
        file=path,
        needed=f"3 rows of {n_volumes} numbers",
        fix=RESTORE,
    )


def _wrong_count(path: Path, count: int, n_volumes: int, what: str) -> InputError:
    return InputError(
        f"holds {count} {what}s but the image has {n_volumes} volumes",
        file=path,
        needed=f"one {what} per volume",
        fix="use the table of this very image (it may be inherited from a folder above)",
    )
