"""What a phantom of tissue is, and noise as scanners make it. Units of the package, arrays on grids.

`noisy` turns the noise-free images of a `Phantom` into those of a scan: thermal noise, complex Gaussian and
then magnitude (or Gaussian on concentrations), with a g-factor and physiological scatter if asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.physics.protocol import Protocol
from bids_qmri.physics.spoiled_gradient_echo import signal_to_concentration
from bids_qmri.units import FloatArray

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]

FIRST_REPORTED_SEED = 100
"""Phantoms of seeds from here on are for reports alone: nothing is tuned on them."""

PHYSIOLOGY_WIDTH = 2.0
"""Voxels, standard deviation of the kernel by which physiological changes of the signal are smooth."""

LARGEST_G = 2.0


@dataclass(frozen=True, eq=False)
class Spoiled:
    """How a dynamic series of spoiled gradient echoes becomes concentrations.

    Parameters
    ----------
    t10
        Native T1 in s, (x, y, z).
    flip_angle
        In rad.
    repetition_time
        In s.
    relaxivity
        In L/mmol/s.
    baseline
        Frames before the bolus.
    """

    t10: FloatArray
    flip_angle: float
    repetition_time: float
    relaxivity: float
    baseline: int

    def concentration(self, signal: FloatArray, native: FloatArray | None = None) -> FloatArray:
        """Return concentrations in mmol/L of signals (x, y, z, N).

        Parameters
        ----------
        signal
            Any scale.
        native
            Signal before the bolus, (x, y, z); None: the mean of the baseline frames.
        """
        flat = signal.reshape(-1, signal.shape[-1])
        found = signal_to_concentration(
            flat,
            slice(0, self.baseline) if native is None else native.ravel(),
            self.t10.ravel(),
            flip_angle=self.flip_angle,
            repetition_time=self.repetition_time,
            relaxivity=self.relaxivity,
        )
        return found.reshape(signal.shape)


@dataclass(frozen=True, eq=False)
class Phantom:
    """Tissue of known truth on a grid.

    Parameters
    ----------
    name
        Technique, with the scheme if there are several.
    model
        Word of ``--models``.
    seed
        What it was drawn with.
    truth
        Grids (x, y, z) by name of parameter, in its unit; NaN outside the mask.
    scored
        Parameters that are compared.
    mask
        Voxels that are fitted, (x, y, z).
    regions
        Masks (x, y, z) by name. Tissues share no voxel, and none with ``lesion`` and ``vessel``; ``edge`` are
        voxels with a face to another tissue.
    lesions
        0, or the number of a lesion, (x, y, z).
    surroundings
        0, or the number of the lesion that a voxel lies within two voxels of, in the same tissue, (x, y, z).
    protocol
        What was played out.
    clean
        Images without noise, (x, y, z, N); 0 outside the mask.
    reference
        Signal, or concentration, that signal-to-noise ratios refer to.
    magnitude
        Whether images are magnitudes.
    spoiled
        How images become what is fitted; None: they are.
    headline
        Region that the main table of a parameter is about, where it is not the whole mask.
    """

    name: str
    model: str
    seed: int
    truth: Mapping[str, FloatArray]
    scored: tuple[str, ...]
    mask: BoolArray
    regions: Mapping[str, BoolArray]
    lesions: IntArray
    surroundings: IntArray
    protocol: Protocol
    clean: FloatArray
    reference: float
    magnitude: bool = True
    spoiled: Spoiled | None = None
    headline: Mapping[str, str] = field(default_factory=dict)

    def voxels(self, grid: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the values of a grid (x, y, z, ...) in the mask, (V, ...)."""
        return grid[self.mask]

    def fitted(self, images: FloatArray) -> FloatArray:
        """Return what models explain of images (x, y, z, N): themselves, or concentrations."""
        return images if self.spoiled is None else self.spoiled.concentration(images)

    def grid(self, voxels: FloatArray) -> FloatArray:
        """Return values (V, ...) of the mask on the grid, NaN outside."""
        whole = np.full((*self.mask.shape, *np.shape(voxels)[1:]), np.nan)
        whole[self.mask] = voxels
        return whole


@dataclass(frozen=True, eq=False)
class Noise:
    """The two numbers, both (V,) in the unit of what is fitted.

    Parameters
    ----------
    floor
        Standard deviation of the thermal noise of one image (each channel of a complex one).
    scatter
        Root mean square over images of what the scan scatters by: thermal and physiological.
    """

    floor: FloatArray
    scatter: FloatArray


@dataclass(frozen=True, eq=False)
class Noisy:
    """A scan of a phantom.

    Parameters
    ----------
    signal
        What is fitted, (x, y, z, N).
    images
        What the scanner gives, (x, y, z, N): the same but for series that are converted.
    noise
        The truth about the noise of `signal`, in the voxels of the mask.
    snr, physiology
        As asked for.
    """

    signal: FloatArray
    images: FloatArray
    noise: Noise
    snr: float
    physiology: float


def noisy(
    phantom: Phantom,
    snr: float,
    seed: int,
    *,
    physiology: float = 0.0,
    physiology_width: float = PHYSIOLOGY_WIDTH,
    g_factor: bool = False,
) -> Noisy:
    """Scan a phantom.

    Parameters
    ----------
    phantom
        What is scanned.
    snr
        `Phantom.reference` over the thermal noise of one image (where the g-factor is 1).
    seed
        Of the noise; phantoms of one seed and scans of it are independent.
    physiology
        Root mean square of relative changes of the signal, independent from image to image.
    physiology_width
        Standard deviation in voxels of the kernel by which they are smooth; 0: independent in every voxel.
    g_factor
        Whether thermal noise varies smoothly, from 1 to `LARGEST_G` times its least.
    """
    rng = np.random.default_rng([seed, 7, phantom.seed])
    shape = phantom.mask.shape
    sigma = phantom.reference / snr * (gain_of_noise(shape, rng) if g_factor else np.ones(shape))
    changes = np.ones_like(phantom.clean)
    if physiology > 0:
        for n in range(phantom.clean.shape[-1]):
            changes[..., n] += physiology * smooth_field(shape, physiology_width, rng)
    mean = phantom.clean * changes
    if phantom.magnitude:
        images = add_rician_noise(mean, sigma[..., None], rng)
    else:
        images = mean + sigma[..., None] * rng.standard_normal(mean.shape)
    floor, physiological = sigma, physiology * np.sqrt(np.mean(phantom.clean**2, axis=-1))
    signal = phantom.fitted(images)
    if phantom.spoiled is not None:
        per_unit = _concentration_per_signal(phantom.clean, phantom.spoiled)
        floor = sigma * np.sqrt(np.mean(per_unit**2, axis=-1))
        physiological = physiology * np.sqrt(np.mean((per_unit * phantom.clean) ** 2, axis=-1))
    scatter = np.hypot(floor, physiological)
    known = Noise(floor[phantom.mask], scatter[phantom.mask])
    return Noisy(signal, images, known, snr, physiology)


def gain_of_noise(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Return a g-factor: smooth, from 1 to `LARGEST_G`, (x, y, z)."""
    field = smooth_field(shape, max(shape) / 6, rng)
    return np.asarray(1 + (LARGEST_G - 1) * (field - field.min()) / np.ptp(field))


def smooth_field(shape: tuple[int, ...], width: float, rng: np.random.Generator) -> FloatArray:
    """Return a Gaussian field of mean 0 and standard deviation 1, smooth by a kernel of `width` voxels."""
    white = rng.standard_normal(shape)
    field = gaussian_filter(white, width, mode="wrap") if width > 0 else white
    return np.asarray((field - field.mean()) / field.std())


def _concentration_per_signal(clean: FloatArray, spoiled: Spoiled) -> FloatArray:
    """Return the derivative of concentrations by signals, the baseline being known; 0 where there is none."""
    native = clean[..., 0]
    step = 1e-4 * native[..., None]
    change = spoiled.concentration(clean + step, native) - spoiled.concentration(clean, native)
    return np.nan_to_num(np.divide(change, step, out=np.zeros_like(clean), where=step > 0))
