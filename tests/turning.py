"""Files whose voxels lie in another order: same places, same values, same directions."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

Order = tuple[tuple[int, ...], tuple[int, ...]]
"""Axis of the old file along each axis of the new one, and its direction, 1 or -1."""

AS_IT_IS: Order = ((0, 1, 2), (1, 1, 1))
EVERY: tuple[Order, ...] = tuple(product(permutations(range(3)), product((1, -1), repeat=3)))


def turned(image: nib.Nifti1Image, order: Order) -> nib.Nifti1Image:
    """Return an image whose axes run in another order; written by nibabel, not by what is tested."""
    axes, signs = order
    steps = np.array([[axes.index(old), signs[axes.index(old)]] for old in range(3)])
    return image.as_reoriented(steps)


def turn_file(path: Path, order: Order) -> None:
    """Write a file in another order, its gradient directions with it."""
    # Through memory: the file is written over.
    image = nib.Nifti1Image.from_bytes(nib.load(path).to_bytes())
    new = turned(image, order)
    nib.save(new, path)
    table = path.with_name(path.name.replace(".nii.gz", ".bvec"))
    if table.is_file():
        along = np.loadtxt(table).T * mirror(image.affine)
        axes, signs = order
        np.savetxt(table, (along[:, list(axes)] * signs * mirror(new.affine)).T, fmt="%.8f")


def mirror(affine: npt.NDArray[np.float64]) -> npt.NDArray[np.int_]:
    """Return the signs between axes of an image and those of its table of directions."""
    return np.array([-1 if np.linalg.det(affine[:3, :3]) > 0 else 1, 1, 1])
