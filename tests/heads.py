"""Simulated heads: the brain of ICBM152 (in the wheel of nilearn), fluid, skull, scalp, eyes, neck; noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

VOXEL = 3
"""mm."""
ROOM = 15
"""mm around the template for skull and scalp; more below for the neck."""


@dataclass(frozen=True)
class Contrast:
    """Relative signals of what a head holds."""

    fluid: float
    grey: float
    white: float
    skull: float
    scalp: float
    muscle: float


CONTRASTS = {
    "t1": Contrast(fluid=0.15, grey=0.6, white=0.9, skull=0.1, scalp=1.0, muscle=0.4),
    "b0": Contrast(fluid=1.0, grey=0.55, white=0.4, skull=0.03, scalp=0.15, muscle=0.2),
    "pd": Contrast(fluid=1.0, grey=0.85, white=0.7, skull=0.1, scalp=0.9, muscle=0.5),
}


@cache
def _template() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return grey and white matter as fractions, and the brain, in voxels of 3 mm."""
    found = find_spec("nilearn")
    if found is None or found.origin is None:
        pytest.skip("nilearn, whose wheel holds the templates of ICBM152, is not installed")
    folder = Path(found.origin).parent / "datasets" / "data"
    maps = []
    for name in ("t1", "gm", "wm"):
        image = nib.load(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz")
        fine = np.pad(np.asarray(image.dataobj) / 255, ((ROOM, ROOM), (ROOM, ROOM), (2 * ROOM, ROOM)))
        sizes = [n // VOXEL for n in fine.shape]
        fine = fine[tuple(slice(n * VOXEL) for n in sizes)]
        maps.append(fine.reshape([side for n in sizes for side in (n, VOXEL)]).mean(axis=(1, 3, 5)))
    t1, grey, white = maps
    return grey, white, ndimage.binary_fill_holes(ndimage.binary_closing(t1 > 0.15, iterations=2))


def _wobble(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    coarse = rng.normal(size=(6, 6, 6))
    return ndimage.zoom(coarse, [n / 6 for n in shape], order=2)


def head(contrast: str, snr: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a magnitude image in voxels of 3 mm, where its brain is, and its affine.

    Skull and scalp vary in thickness, and the signal by a quarter over the head, from seed to seed.
    """
    grey, white, brain = _template()
    look, rng = CONTRASTS[contrast], np.random.default_rng(seed)
    far = VOXEL * ndimage.distance_transform_edt(~brain)
    skull = 2.5 + np.maximum(3, 6 + 1.5 * _wobble(rng, brain.shape))
    scalp = skull + np.maximum(3, 6 + 1.5 * _wobble(rng, brain.shape))
    signal = np.where(far <= 2.5, look.fluid, np.where(far <= skull, look.skull, look.scalp))
    signal[far > scalp] = 0
    x, y, z = (VOXEL * axis for axis in np.ogrid[tuple(slice(n) for n in brain.shape)])
    middle = VOXEL * np.array(brain.shape) / 2
    neck = ((x - middle[0]) / 50) ** 2 + ((y - 0.8 * middle[1]) / 62) ** 2 < 1
    signal[neck & (z < 55) & (far > scalp)] = look.muscle
    for side in (-32, 32):
        eye = (x - middle[0] - side) ** 2 + (y - 1.65 * middle[1]) ** 2 + (z - 55) ** 2 < 12**2
        signal[eye & ~brain] = look.fluid
    inside = grey * look.grey + white * look.white + np.clip(1 - grey - white, 0, 1) * look.fluid
    signal = np.where(brain, inside, signal) * (1 + 0.25 * np.tanh(_wobble(rng, brain.shape)))
    sigma = signal[brain].mean() / snr
    noise = sigma * rng.normal(size=(2, *brain.shape))
    return np.hypot(signal + noise[0], noise[1]), brain, np.diag([VOXEL, VOXEL, VOXEL, 1.0])
