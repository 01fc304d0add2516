"""Align the images of an acquisition before they are fitted, and say how they moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from bids_qmri.alignment.elastix import Kind
from bids_qmri.alignment.groupwise import Alignment, align
from bids_qmri.alignment.motion import Motion, coarse, motion_of, rotation_part, shift_between, steps_of
from bids_qmri.alignment.transforms import Image, noise_kept, resample
from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.images import Series, open_series
from bids_qmri.errors import InputError
from bids_qmri.estimators.threads import in_threads
from bids_qmri.physics.directions import mirrored_first
from bids_qmri.units import FloatArray

DATA_OFFSET = 352
"""Bytes before the voxels of a NIfTI-1 file."""

OBJECT = 0.2
"""Share of the brightest signal above which a voxel is no air."""


@dataclass(frozen=True, eq=False)
class AlignedSeries:
    """An aligned series, opened.

    Parameters
    ----------
    series
        The images, all but the reference interpolated once.
    alignment
        Where they lay.
    kind
        What an image was allowed to do.
    motion
        How they moved.
    noise_kept
        Share of the variance of independent noise that interpolation left, the mean over images.
    """

    series: Series
    alignment: Alignment
    kind: Kind
    motion: Motion
    noise_kept: float

    def fields(self) -> Mapping[str, Any]:
        """Return what sidecars say of it."""
        return {
            "Aligned": f"{self.kind}, as a group (elastix, PCA metric)",
            "AlignedTo": self.alignment.reference,
            "AlignmentNoiseKept": round(self.noise_kept, 4),
        }

    def remarks(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return what a person should know, by the names of the images."""
        empty = ", ".join(names[index] for index in self.alignment.empty)
        return (f"no signal, and not aligned: {empty}",) if empty else ()


def comparable(acquisition: Acquisition, series: Series) -> bool:
    """Tell whether all images of a series show the object, one after the other, so that it can have moved."""
    protocol = acquisition.protocol
    if protocol is not None and protocol.together():
        return False
    wanted = None if protocol is None else protocol.magnitudes()
    return series.n_measurements > 1 and (wanted is None or wanted.size == series.n_measurements)


def reference_of(acquisition: Acquisition) -> int:
    """Return the image that stays: the first of those that every estimate leans on."""
    protocol = acquisition.protocol
    return 0 if protocol is None else int(protocol.reference()[0])


def measure_motion(acquisition: Acquisition, series: Series, threads: int = 1) -> Motion:
    """Return how far each image of a series lies from its reference, without registration.

    Images are compared with the mean of those of their kind (b-value), and these means with that of the last
    kind that could be told, which is most like it: another contrast is not to pass for motion. What cannot be
    told is NaN, and nothing is compared with it.
    """
    steps = steps_of(series.shape)
    read = partial(_chosen_image, series, _thinned(series, steps))
    images = list(in_threads(lambda index: coarse(read(index)), range(series.n_measurements), threads))
    factors = images[0][1] * steps
    kinds, dynamic = _kinds(acquisition, len(images)), acquisition.protocol is None
    found = np.full((len(images), 3), np.nan)
    so_far, before = np.zeros(3), None
    for kind in range(int(kinds.max()) + 1):
        members = [index for index in np.flatnonzero(kinds == kind) if images[index][0].any()]
        if not members:
            continue
        mean = np.mean([images[index][0] for index in members], axis=0)
        step = np.zeros(3) if before is None else shift_between(before, mean, same_contrast=False)
        if np.isnan(step).any():
            continue
        so_far, before = so_far + step, mean
        found[members] = so_far
        if len(members) > 1:
            # A bolus changes the contrast of frames.
            shift = partial(shift_between, mean, same_contrast=not dynamic)
            found[members] += list(in_threads(shift, (images[index][0] for index in members), threads))
    return Motion((found - found[reference_of(acquisition)]) * factors * np.asarray(series.zooms))


def _kinds(acquisition: Acquisition, count: int) -> npt.NDArray[np.intp]:
    """Return a number for each image, the same for images of one contrast."""
    protocol = acquisition.protocol
    if protocol is None:
        return np.zeros(count, dtype=np.intp)
    shells = protocol.shells()
    return np.arange(count) if shells is None else np.unique(shells[1], return_inverse=True)[1]


def cautions(motion: Motion | None, zooms: Sequence[float], names: Sequence[str]) -> list[str]:
    """Say where images moved by more than a voxel.

    Parameters
    ----------
    motion
        How they moved; None: nobody looked.
    zooms
        Size of a voxel, mm.
    names
        Of the images.
    """
    if motion is None:
        return []
    far = np.flatnonzero(np.any(np.abs(motion.translation) > np.asarray(zooms), axis=1))
    if not far.size:
        return []
    worst = int(np.nanargmax(motion.displacement))
    # Of two images nobody can tell which components they share.
    way = "align them with --align, or register them first" if len(names) > 2 else "register them first"
    way_out = "" if motion.rotation is not None else f"; fix: {way}"
    done = "moved" if motion.rotation is None else "had moved, before they were aligned,"
    unknown = int(np.count_nonzero(np.isnan(motion.displacement)))
    rest = f"; of {unknown} it cannot be told" if unknown else ""
    return [
        f"{far.size} of {len(motion.displacement)} images {done} by more than a voxel, {names[worst]} by "
        f"{motion.displacement[worst]:.1f} mm{rest}{way_out}"
    ]


def align_acquisition(
    acquisition: Acquisition,
    series: Series,
    options: ReadOptions,
    folder: Path,
    notes: list[str],
    threads: int,
) -> AlignedSeries | None:
    """Align the images of an acquisition; note why they are not, if they are not.

    Parameters
    ----------
    acquisition, series
        What is aligned.
    options
        How.
    folder
        Scratch folder.
    notes
        Takes what a person should know.
    threads
        Of elastix.
    """
    assert options.align is not None
    protocol = acquisition.protocol
    if protocol is not None and protocol.together():
        notes.append("not aligned: echoes are read together")
        return None
    if not comparable(acquisition, series):
        notes.append("not aligned: one image, or images that are no magnitudes")
        return None
    path = folder / f"{acquisition.label}_{acquisition.kind}_aligned.nii"
    try:
        aligned = align_series(series, options.align, reference_of(acquisition), path, threads)
    except InputError as error:
        if "needs the package's extra" in str(error):
            raise
        why = str(error).removesuffix(".")
        notes.append(f"not aligned: {why}; fix: look at the images, or leave --align out")
        return None
    notes += aligned.remarks(acquisition.names_of(series.n_measurements))
    if options.align != "rigid" and protocol is not None and protocol.shells() is None:
        notes.append(
            f"every image has a contrast of its own, and {options.align} may scale: it draws bright rims "
            "inwards, although nothing moved; fix: use --align rigid unless organs deform"
        )
    return aligned


def align_series(series: Series, kind: Kind, reference: int, path: Path, threads: int) -> AlignedSeries:
    """Align a series into a file, and open it.

    Parameters
    ----------
    series
        The images as measured.
    kind
        What an image may do.
    reference
        The image that stays where it is.
    path
        The file.
    threads
        Of elastix; images do not depend on it.

    Raises
    ------
    InputError
        As of `alignment.groupwise.align`.

    Notes
    -----
    Memory: averages of all images, of 10.5 million values at most, and a few single images.
    """
    zooms = np.asarray(series.zooms)
    alignment = align(
        lambda index: image_of(series, index),
        series.n_measurements,
        zooms,
        kind,
        reference=reference,
        threads=threads,
    )
    header = nib.Nifti1Image(np.zeros((1, 1, 1, 1), dtype=np.float32), series.affine).header
    header.set_data_shape((*series.shape, series.n_measurements))
    header["vox_offset"] = DATA_OFFSET
    with path.open("wb") as file:
        file.write(header.binaryblock.ljust(DATA_OFFSET, b"\0"))
        for index, transform in enumerate(alignment.transforms):
            still = resample(image_of(series, index), transform)
            file.write(still.astype("<f4").tobytes(order="F"))
    image = image_of(series, reference)
    bright = image > OBJECT * np.nanpercentile(image, 99.5)
    motion = motion_of(alignment.transforms, bright, zooms)
    kept = [noise_kept(transform, series.shape) for transform in alignment.transforms]
    opened = open_series([path], path.parent, series)
    return AlignedSeries(opened, alignment, kind, motion, float(np.mean(kept)))


def with_turned_directions(acquisition: Acquisition, aligned: AlignedSeries) -> Acquisition:
    """Return an acquisition whose gradient directions follow the rotations of its images.

    Parameters
    ----------
    acquisition
        Any; without directions it is returned as it is.
    aligned
        Its images. Of affine maps the rotation that is nearest counts; what splines bend is not followed.
    """
    protocol = acquisition.protocol
    if protocol is None or protocol.directions() is None:
        return acquisition
    series = aligned.series
    mirror = np.diag([-1.0 if mirrored_first(series.stored.affine) else 1.0, 1.0, 1.0])
    to_world, from_stored = (_cosines(affine) for affine in (series.affine, series.stored.affine))
    turns = []
    for transform in aligned.alignment.transforms:
        world = to_world @ rotation_part(transform.matrix, np.asarray(series.zooms)) @ to_world.T
        # The anatomy of the reference appears turned in the image: seen from it, the gradient turns back.
        turns.append(mirror @ from_stored.T @ world.T @ from_stored @ mirror)
    return replace(acquisition, protocol=protocol.turned(np.array(turns)))


def _cosines(affine: FloatArray) -> FloatArray:
    """Return the directions of the axes of a grid, as orthonormal columns, (3, 3)."""
    left, _, right = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    return np.asarray(left @ right)


def image_of(series: Series, index: int) -> Image:
    """Return an image of a series, (x, y, z)."""
    values = series.read(0, series.n_voxels, [index])[:, 0]
    return values.astype(np.float32).reshape(series.shape, order="F")


def _thinned(series: Series, steps: tuple[int, ...]) -> npt.NDArray[np.intp]:
    """Return the numbers of voxels of a grid, one in so many along each axis, (x, y, z)."""
    grid = [np.arange(0, size, step) for size, step in zip(series.shape, steps, strict=True)]
    return np.asarray(np.ravel_multi_index(np.meshgrid(*grid, indexing="ij"), series.shape, order="F"))


def _chosen_image(series: Series, voxels: npt.NDArray[np.intp], index: int) -> Image:
    """Return voxels (x, y, z) of an image of a series."""
    values = series.read(0, series.n_voxels, [index], voxels.ravel(order="F"))[:, 0]
    return values.astype(np.float32).reshape(voxels.shape, order="F")
