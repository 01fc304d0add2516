"""Where tissue is: organs of the shared volunteers, the brain of ICBM152, lesions, vessels, edges.

Nothing is downloaded: volunteers are read from the shared data (``BIDS_QMRI_SHARED``, else ``../shared/data``
beside the checkout), the brain from the wheel of nilearn, an optional dependency of this benchmark.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from benchmarks.tissue_base import BoolArray, IntArray
from bids_qmri.units import FloatArray

ICBM = "datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
BRAIN_STEP = 3
"""mm, edge of the voxels into which the maps of 1 mm are averaged: partial volume as in a scan."""

LESION_SIZES = (5, 9)
SURROUNDING = 2
"""Voxels around a lesion with which it is compared."""

FLUID_D = 2.3e-3
"""mm^2/s between b = 100 and 500 above which a voxel of the body is fluid (stomach, spinal canal)."""
LEAST_ORGAN = 10
"""Voxels from which the outline of an organ tells what it looks like."""


class MissingDataError(RuntimeError):
    """Something that the phantoms are made of is not there."""


def shared_data() -> Path:
    """Return the folder of the shared data."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("BIDS_QMRI_SHARED", beside))
    if not (folder / "bids-real").is_dir():
        raise MissingDataError("the shared data are not there: set BIDS_QMRI_SHARED to their folder")
    return folder


@dataclass(frozen=True, eq=False)
class Volunteer:
    """One slice through an abdomen, with grids of (x, y, 1).

    Parameters
    ----------
    images
        As measured, (x, y, 1, N).
    bvals
        In s/mm^2, (N,).
    body
        What is fitted.
    outlines
        Masks by organ, as drawn by the authors of the data.
    tissue
        Masks by tissue that cover the body: `outlines` grown to what looks alike.
    """

    images: FloatArray
    bvals: FloatArray
    body: BoolArray
    outlines: dict[str, BoolArray]
    tissue: dict[str, BoolArray]

    def mean(self, b: float) -> FloatArray:
        """Return the mean of the images of one b-value, (x, y, 1)."""
        return np.asarray(self.images[..., self.bvals == b].mean(axis=-1))


@cache
def volunteer(number: int) -> Volunteer:
    """Return sub-ivim1, 2 or 3."""
    root, name = shared_data() / "bids-real", f"sub-ivim{number}"
    series = root / name / "dwi" / f"{name}_dwi"
    rois = root / "derivatives" / "rois" / name / "dwi"
    images = _read(series.with_suffix(".nii.gz"))
    body = _read(rois / f"{name}_desc-body_mask.nii.gz") > 0
    labels = _read(rois / f"{name}_desc-organs_dseg.nii.gz").astype(int)
    organs = {1: "pancreas", 2: "liver", 3: "kidney", 4: "spleen"}
    outlines = {organ: labels == i for i, organ in organs.items() if np.any(labels == i)}
    drawn = Volunteer(images, np.loadtxt(series.with_suffix(".bval")), body, outlines, {})
    return Volunteer(images, drawn.bvals, body, outlines, _grown(drawn))


def _grown(drawn: Volunteer) -> dict[str, BoolArray]:
    """Give every voxel of the body to the tissue that it looks most like at b = 0 and 500.

    Fluid decays fastest; muscle is what is darkest. Single voxels follow their neighbours.
    """
    smooth = [ndimage.gaussian_filter(drawn.mean(b), (0.7, 0.7, 0)) for b in (0.0, 100.0, 500.0)]
    looks = np.log(np.maximum(np.stack(smooth), 1.0))
    fluid = drawn.body & ((looks[1] - looks[2]) / 400 > FLUID_D)
    shown = {name: m for name, m in drawn.outlines.items() if name != "pancreas" and m.sum() >= LEAST_ORGAN}
    typical = [looks[:, m].mean(axis=1) for m in shown.values()]
    dark = drawn.body & (looks[0] < np.quantile(looks[0][drawn.body], 0.25))
    typical.append(looks[:, dark].mean(axis=1))
    distance = [np.sum((looks - t[:, None, None, None]) ** 2, axis=0) for t in typical]
    names = [*shown, "muscle", "fluid", "pancreas"]
    index = np.where(fluid, len(shown) + 1, np.argmin(distance, axis=0))
    index = _majority(index, drawn.body, len(names))
    for name, outline in drawn.outlines.items():
        if name in names:
            index[outline] = names.index(name)
    return {name: m for i, name in enumerate(names) if np.any(m := drawn.body & (index == i))}


def _majority(index: IntArray, mask: BoolArray, count: int) -> IntArray:
    votes = [ndimage.uniform_filter((mask & (index == i)).astype(float), (3, 3, 1)) for i in range(count)]
    return np.asarray(np.argmax(votes, axis=0))


@dataclass(frozen=True, eq=False)
class Brain:
    """Fractions of white matter, grey matter and fluid in the voxels of some slices, each (x, y, z)."""

    white: FloatArray
    grey: FloatArray
    fluid: FloatArray
    mask: BoolArray

    def mixed(self, white: FloatArray, grey: FloatArray, fluid: FloatArray) -> FloatArray:
        """Return the mean of three values, or grids, by the fractions."""
        return self.white * white + self.grey * grey + self.fluid * fluid

    def labels(self) -> IntArray:
        """Return 0 for white, 1 for grey matter, 2 for fluid: what most of a voxel is."""
        return np.asarray(np.argmax([self.white, self.grey, self.fluid], axis=0))


@cache
def brain(first: int = 28, slices: int = 4) -> Brain:
    """Return slices of ICBM152 in voxels of 3 mm; those from 28 on cut ventricles and deep grey matter."""
    white, grey = (
        _averaged(_read(_nilearn(name)) / 255.0)[..., first : first + slices] for name in ("wm", "gm")
    )
    inside = [
        ndimage.binary_fill_holes(ndimage.binary_closing(plane > 0.3, iterations=2))
        for plane in np.moveaxis(white + grey, -1, 0)
    ]
    mask = np.stack(inside, axis=-1)
    columns, rows = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    # Two voxels of air around the head: estimates of noise and denoisers want some.
    cut = tuple(slice(max(i[0] - 2, 0), i[-1] + 3) for i in (columns, rows))
    white, grey, mask = white[cut], grey[cut], mask[cut]
    return Brain(white, grey, np.clip(1 - white - grey, 0, 1), mask)


def _nilearn(name: str) -> Path:
    # Not imported: its imports take longer than this benchmark's phantoms.
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise MissingDataError("the brain comes with nilearn: pip install nilearn (--no-deps is enough)")
    return Path(spec.origin).parent / ICBM.format(name)


def _averaged(image: FloatArray) -> FloatArray:
    x, y, z = (n // BRAIN_STEP for n in image.shape)
    whole = image[: x * BRAIN_STEP, : y * BRAIN_STEP, : z * BRAIN_STEP]
    return np.asarray(whole.reshape(x, BRAIN_STEP, y, BRAIN_STEP, z, BRAIN_STEP).mean(axis=(1, 3, 5)))


def _read(path: Path) -> FloatArray:
    return np.asarray(nib.load(path).get_fdata(dtype=np.float64))


def faces(mask: BoolArray) -> BoolArray:
    """Return the voxels that share a face with a mask, and the mask."""
    return np.asarray(ndimage.binary_dilation(mask))


def edges(tissues: dict[str, BoolArray]) -> BoolArray:
    """Return the voxels with a face to another tissue."""
    found = [m & faces(o) for n, m in tissues.items() for k, o in tissues.items() if k != n]
    return np.asarray(np.any(found, axis=0))


def lesions_in(hosts: list[BoolArray], count: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Grow lesions of `LESION_SIZES` voxels, in turn in every host.

    Returns
    -------
    lesions, surroundings
        0, or the number of the lesion, from 1 on; voxels of the host within `SURROUNDING` of it. Lesions keep
        apart, so that nobody's surroundings hold another one.
    """
    lesions, around = (np.zeros(hosts[0].shape, dtype=np.intp) for _ in range(2))
    taken = np.zeros(hosts[0].shape, dtype=bool)
    for i in range(count):
        host = hosts[i % len(hosts)]
        inner = ndimage.binary_erosion(host, _flat(), border_value=0) & ~taken
        places = np.argwhere(inner)
        if not len(places):
            continue
        grown = _grow(
            tuple(places[rng.integers(len(places))]),
            host & ~taken,
            int(rng.integers(*LESION_SIZES, endpoint=True)),
            rng,
        )
        lesions[grown] = i + 1
        shell = ndimage.binary_dilation(grown, iterations=SURROUNDING) & host & ~grown & ~taken
        around[shell] = i + 1
        taken |= ndimage.binary_dilation(grown, iterations=2 * SURROUNDING)
    return lesions, around


def _flat() -> BoolArray:
    """Return the neighbourhood by faces within a slice."""
    return np.asarray(ndimage.generate_binary_structure(2, 1)[..., None])


def _grow(start: tuple[int, ...], allowed: BoolArray, size: int, rng: np.random.Generator) -> BoolArray:
    """Return a compact body of voxels around one: next comes who shares most faces, by lot among equals."""
    grown = np.zeros(allowed.shape, dtype=bool)
    grown[start] = True
    cross = ndimage.generate_binary_structure(3, 1).astype(float)
    while grown.sum() < size:
        touching = ndimage.convolve(grown.astype(float), cross, mode="constant") * (allowed & ~grown)
        if touching.max() < 1:
            break
        grown.flat[np.argmax(np.where(touching > 0, touching + rng.random(grown.shape), 0.0))] = True
    return grown


def vessels_in(allowed: BoolArray, count: int, length: int, rng: np.random.Generator) -> BoolArray:
    """Return straight vessels one voxel wide, in slices or through them."""
    found = np.zeros(allowed.shape, dtype=bool)
    places = np.argwhere(allowed)
    for start in places[rng.choice(len(places), count, replace=False)]:
        direction = rng.standard_normal(3) * (1.0, 1.0, 0.3 if allowed.shape[2] > 1 else 0.0)
        steps = np.arange(length)[:, None] * direction / np.abs(direction).max()
        line = np.round(start + steps).astype(int)
        line = line[np.all((line >= 0) & (line < allowed.shape), axis=1)]
        found[tuple(line.T)] = True
    return found & allowed
