"""Phantoms of tissue with real edges, for benchmarks and scripts: all there is to import.

>>> from benchmarks.tissue_phantoms import PHANTOMS, noisy
>>> phantom = PHANTOMS["ivim"](seed=1)
>>> scan = noisy(phantom, snr=20, seed=1)
>>> from bids_qmri import fit
>>> found = fit(phantom.model, phantom.voxels(scan.signal), phantom.protocol, sigma=scan.noise.floor)
>>> error = found.maps["d"] - phantom.voxels(phantom.truth["d"])

Seeds from 100 on are for reports alone. Run from the folder that holds ``benchmarks``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.tissue_base import FIRST_REPORTED_SEED, Noise, Noisy, Phantom, Spoiled, noisy, smooth_field
from benchmarks.tissue_body import ivim
from benchmarks.tissue_brain import dce, vfa
from benchmarks.tissue_geometry import MissingDataError, shared_data, volunteer
from benchmarks.tissue_neurites import Draws, noddi, noddi_tissue_draws, scheme

PHANTOMS: dict[str, Callable[[int], Phantom]] = {
    "ivim": ivim,
    "vfa": vfa,
    "dce": dce,
    "dce-signal": partial(dce, route="signal"),
    "noddi-s1": partial(noddi, name="s1"),
    "noddi-ukb": partial(noddi, name="ukb"),
}
"""What draws a phantom from a seed, by name."""

__all__ = [
    "FIRST_REPORTED_SEED",
    "PHANTOMS",
    "Draws",
    "MissingDataError",
    "Noise",
    "Noisy",
    "Phantom",
    "Spoiled",
    "dce",
    "ivim",
    "noddi",
    "noddi_tissue_draws",
    "noisy",
    "scheme",
    "shared_data",
    "smooth_field",
    "vfa",
    "volunteer",
]
