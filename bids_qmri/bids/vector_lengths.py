"""What directions that are not of length 1 mean, and what to do about them.

Some scanners and programs write one nominal b-value for all images and shorten the directions: the true
b-value is the nominal one times the squared length (GE multi-shell, enhanced Siemens images, tables of
MRtrix). Unit vectors alone would then leave wrong b-values. Others write the true b-value and the shortened
direction both. No file says which. Called by `gradients`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.units import FloatArray

SAME_B = 0.05
"""Relative difference of b-values that are one."""

ALIKE = 0.03
"""Largest difference of a squared length, over the largest one, from b over the largest b."""

MANY = 3
"""Directions of a wrong length that are no slip of one line."""


def wrong_lengths(
    path: Path, bvals: FloatArray, length: FloatArray, wrong: npt.NDArray[np.bool_]
) -> InputError:
    """Return the error that says what lengths of directions show, and the fix.

    Parameters
    ----------
    path
        The table of directions.
    bvals
        b-values in s/mm^2, (N,).
    length
        Lengths of the directions, (N,).
    wrong
        Which of the weighted images have a direction of a wrong length, (N,).
    """
    first = int(np.flatnonzero(wrong)[0])
    seen = f"volume {first} (b = {bvals[first]:g}) has a direction of length {length[first]:.3g}"
    if np.count_nonzero(wrong) > 1:
        seen += f", and {np.count_nonzero(wrong) - 1} more are not of length 1"
    return InputError(
        seen,
        file=path,
        field="bvec",
        needed="unit vectors, or 0 0 0 at b = 0, with the true b-value in the bval file",
        fix=_remedy(bvals, length, wrong),
    )


def _remedy(bvals: FloatArray, length: FloatArray, wrong: npt.NDArray[np.bool_]) -> str:
    known = length > 0
    if np.count_nonzero(wrong) < MANY:
        return (
            "correct these directions from the export, or raise --b0-threshold if these are b = 0 "
            "images; where"
            " lengths encode b (GE, MRtrix), multiply b by length^2 as well"
        )
    scaled = np.unique(np.round(bvals[known] * length[known] ** 2, -1)).astype(int)
    listed = ", ".join(map(str, scaled[:6])) + (", ..." if scaled.size > 6 else "")
    weighted = known & (bvals > 0)
    if _tells_b_already(bvals[weighted], length[weighted]):
        return (
            "the squared lengths go with the b-values, so that the scaling is told twice: if the bval "
            "file agrees "
            "with the protocol of the scanner, write unit vectors; if its b-values are nominal, multiply "
            "b by "
            f"length^2 (b = {listed} s/mm^2) too"
        )
    return (
        "the lengths are likely the scaling of b by vector length (GE, enhanced Siemens exports, MRtrix): "
        f"multiply b by length^2 (b = {listed} s/mm^2) and only then make the vectors unit; unit vectors "
        "alone "
        "would leave wrong b-values. Compare with the protocol of the scanner"
    )


def _tells_b_already(bvals: FloatArray, length: FloatArray) -> bool:
    """Tell whether b-values differ and squared lengths differ as they do."""
    if bvals.size == 0 or bvals.max() - bvals.min() <= SAME_B * bvals.max():
        return False
    return bool(np.all(np.abs((length / length.max()) ** 2 - bvals / bvals.max()) <= ALIKE))
