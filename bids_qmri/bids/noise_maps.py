"""Maps of the noise in derivative datasets, as denoising programs leave them beside the images.

BIDS has no name for them yet: what MPPCA-type programs and pipelines call noise or sigma, in suffix, param or
desc, is one. What such a program took for noise is that of the images before it; fits want that one.
"""

from __future__ import annotations

from pathlib import Path

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.images import Series, require_map_grid
from bids_qmri.bids.layout import BidsFile
from bids_qmri.bids.masks import GIVEN, images_for, preferred
from bids_qmri.bids.nifti import read_header
from bids_qmri.errors import InputError

WORDS = ("noise", "noisemap", "sigma")

GENERAL = ("dwimap", "dwi", "vfamap")
"""Suffixes that say nothing of what a map holds: param or desc does."""


def find_noise_map(
    acquisition: Acquisition, series: Series, options: ReadOptions, notes: list[str]
) -> Path | None:
    """Return the map of the noise of a scan in the first named dataset that has one on its grid.

    Parameters
    ----------
    acquisition, series
        The scan, and its images.
    options
        Named datasets.
    notes
        Why a map is not used is added here.
    """
    for name, root in options.derivatives.items():
        if name == GIVEN:
            continue
        found = [
            image
            for suffix in (*WORDS, *GENERAL)
            for image in images_for(root, acquisition, (suffix,), {})
            if _is_noise(image)
        ]
        on_grid = []
        for image in found:
            try:
                require_map_grid(read_header(image.path), series)
                on_grid.append(image)
            except InputError as error:
                notes.append(f"this map of the noise is not used: {error}")
        if on_grid:
            return preferred(on_grid, acquisition)[0].path
    return None


def _is_noise(image: BidsFile) -> bool:
    """Whether a map holds noise; those of a model (``model-``) are results of fits."""
    if "model" in image.entities:
        return False
    said = (
        image.suffix if image.suffix in WORDS else image.entities.get("param", image.entities.get("desc", ""))
    )
    return said.lower() in WORDS
