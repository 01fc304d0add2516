"""Denoising of a series by dipy's MPPCA, with the noise that it leaves: arrays only.

Every patch of voxels is described by the few principal components that stand above those of noise (Veraart et
al. 2016, doi:10.1016/j.neuroimage.2016.08.016). Two things are not what they seem. The noise that remains in
a voxel is not independent between images: it lies along the components that were kept, along which parameters
of a model change as well, so that fits gain much less than images do. Error bars made with what remains, as
if independent, cover 25 to 55 % instead of 68 %; made with the noise before (`Denoised.sigma`) they hold. And
the bias of magnitudes (the floor) stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, uniform_filter

from bids_qmri.errors import InputError
from bids_qmri.estimation.tissue import Mask

Images = npt.NDArray[np.float32]

FEWEST_IMAGES = 10
"""Below, signal and noise are told apart by chance."""
RADIUS = 2
"""Voxels: of patches, where there is room; more where patches would have fewer voxels than images."""
SLAB_BYTES = 64 << 20
"""Of images at a time; dipy needs about eight times as much."""
LEAST_FREE = 0.2
"""Share of a patch that is noise, at least, when the level is corrected for what the signal has taken."""


@dataclass(frozen=True, eq=False)
class Denoised:
    """A denoised series and its noise, each in the unit of the images.

    Parameters
    ----------
    images
        Denoised images, (x, y, z, N); 0 or more.
    sigma
        Standard deviation of the noise that was found, (x, y, z). Of magnitudes: less than that of either
        channel where there is little signal.
    remaining
        Standard deviation of the noise that remains in an image, (x, y, z).
    removed
        Variance that was removed over what of independent noise is removed, (x, y, z): above 1 where signal
        went with it, below 1 where noise that neighbours share (interpolated, filtered images) stayed.
    radius
        Of the patches, in voxels per axis.
    """

    images: Images
    sigma: Images
    remaining: Images
    removed: Images
    radius: tuple[int, int, int]

    def denoised_fraction(self, mask: Mask) -> float:
        """Return the median of `removed` over a mask, (x, y, z)."""
        return float(np.median(self.removed[mask]))


def denoise(images: npt.NDArray[np.generic], *, seed: int = 0) -> Denoised:
    """Denoise a series of images.

    Parameters
    ----------
    images
        Magnitudes, (x, y, z, N); computed with in float32. Voxels that are not finite throughout are left as
        they are.
    seed
        Of the noise by which it is learned what remains.

    Raises
    ------
    InputError
        If they are not a series of real images, too few, or if the field of view is too small for so many.

    Notes
    -----
    What remains is measured: noise of the level that was found is added, denoised with the images, and the
    difference is what remains of it. The level is corrected for the noise that components of signal take
    along. In simulated diffusion and IVIM series of known truth the noise that remains is told within 10 %.

    Memory: the images twice more (as float32, denoised), and eight times `SLAB_BYTES`. Time: about 0.1 ms per
    voxel for 16 images, 0.7 ms for 100.
    """
    data = _checked(images)
    radius = patch_radius(data.shape[:3], data.shape[3])
    usable = np.all(np.isfinite(data), axis=-1)
    unusable = data[~usable]
    data[~usable] = 0
    sigma, remaining, removed = (np.empty(data.shape[:3], dtype=np.float32) for _ in range(3))
    found = Denoised(np.empty_like(data), sigma, remaining, removed, radius)
    rng = np.random.default_rng(seed)
    for wide, inner, outer in _slabs(data.shape, radius):
        slab = _denoised(np.ascontiguousarray(data[wide]), radius, rng)
        for whole, part in zip(_maps(found), _maps(slab), strict=True):
            whole[outer] = part[inner]
    found.images[~usable] = unusable
    return found


def patch_radius(shape: tuple[int, ...], n_images: int) -> tuple[int, int, int]:
    """Return the radius of patches in voxels per axis: at least as many voxels as images, within the view.

    Parameters
    ----------
    shape
        Of the grid, (x, y, z).
    n_images
        N.

    Raises
    ------
    InputError
        If no patch has that many voxels.
    """
    most = [(size - 1) // 2 for size in shape]
    radius = [min(RADIUS, limit) for limit in most]
    while np.prod([2 * r + 1 for r in radius]) <= n_images:
        room = [axis for axis in range(3) if radius[axis] < most[axis]]
        if not room:
            raise InputError(
                f"patches of {' x '.join(str(2 * r + 1) for r in radius)} voxels are smaller than {n_images}"
                " images",
                field="denoise",
                needed="a field of view with more voxels than there are images",
                fix="fit without denoising",
            )
        radius[min(room, key=lambda axis: radius[axis])] += 1
    return radius[0], radius[1], radius[2]


def _checked(images: npt.NDArray[np.generic]) -> Images:
    """Return a copy as float32."""
    if images.ndim != 4 or np.iscomplexobj(images):
        raise InputError(
            f"has {images.ndim} dimensions of type {images.dtype}",
            field="denoise",
            needed="a series of real images (x, y, z, N)",
        )
    if images.shape[3] < FEWEST_IMAGES:
        raise InputError(
            f"has {images.shape[3]} images",
            field="denoise",
            needed=f"{FEWEST_IMAGES} images or more, to tell signal from noise",
            fix="fit without denoising",
        )
    return np.array(images, dtype=np.float32)


def _maps(found: Denoised) -> tuple[Images, ...]:
    return found.images, found.sigma, found.remaining, found.removed


Slices = tuple[slice, ...]


def _slabs(shape: tuple[int, ...], radius: tuple[int, int, int]) -> Iterator[tuple[Slices, Slices, Slices]]:
    """Yield slabs along the longest axis, each with what of it counts and where that belongs.

    What counts is two radii away from the cut: no patch that describes it is cut.
    """
    axis = int(np.argmax(shape[:3]))
    size, edge = shape[axis], 2 * radius[axis]
    step = max(4 * edge, SLAB_BYTES * size // (4 * int(np.prod(shape))), 1)
    before = (slice(None),) * axis
    for start in range(0, size, step):
        stop = min(start + step, size)
        first, last = max(start - edge, 0), min(stop + edge, size)
        inner = slice(start - first, stop - first)
        yield (*before, slice(first, last)), (*before, inner), (*before, slice(start, stop))


def _denoised(data: Images, radius: tuple[int, int, int], rng: np.random.Generator) -> Denoised:
    """Denoise one slab, and learn from a second run with known noise what remains."""
    images, level = _mppca(data, radius)
    known = rng.standard_normal(data.shape, dtype=np.float32) * level[..., np.newaxis]
    left = _mppca(data + known, radius)[0] - images
    size = [2 * r + 1 for r in radius]
    variance = np.where(level > 0, level**2, np.inf)
    share = uniform_filter(np.mean(left**2, axis=-1) / variance, size)
    gone = uniform_filter(np.mean((known - left) ** 2, axis=-1) / variance, size)
    # What remains is of components that lean on the noise of their patch as well: share = p / N + p / M.
    samples = int(np.prod(size))
    components = share / (1 / data.shape[-1] + 1 / samples)
    sigma = level / np.sqrt(np.maximum(1 - (components + 1) / samples, LEAST_FREE))
    expected = sigma**2 * gone
    removed = np.mean((data - images) ** 2, axis=-1) / np.where(expected > 0, expected, np.inf)
    return Denoised(images, sigma, sigma * np.sqrt(share), removed, radius)


def _mppca(data: Images, radius: tuple[int, int, int]) -> tuple[Images, Images]:
    """Return what dipy makes of all voxels, as a mask leaves NaN at its edge, and the level of the noise."""
    from dipy.denoise.localpca import mppca

    with np.errstate(invalid="ignore", divide="ignore"), catch_warnings():
        # Where every component stands out, it takes the mean of none; such patches are left as they are.
        simplefilter("ignore", RuntimeWarning)
        images, level = mppca(data, patch_radius=np.array(radius), return_sigma=True, suppress_warning=True)
    untold = np.isnan(level)
    if untold.all():
        return images, np.zeros_like(level)
    nearest = distance_transform_edt(untold, return_distances=False, return_indices=True)
    return images, level[tuple(nearest)]
