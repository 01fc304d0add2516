"""IVIM in an abdomen: the slices of three volunteers with known D, f and D*. b in s/mm^2, D in mm^2/s."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.tissue_base import BoolArray, IntArray, Phantom, smooth_field
from benchmarks.tissue_geometry import Volunteer, edges, lesions_in, vessels_in, volunteer
from bids_qmri.catalogue import get_model
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.units import FloatArray

B_VALUES = (0.0, 10.0, 20.0, 50.0, 100.0, 300.0, 600.0)
"""s/mm^2, as in Kuppens et al. 2025."""

# D and f of organs are the published maps of these volunteers (Wetscherek et al. 2015, doi:10.1002/mrm.25410,
# medians in the README of the shared data), rounded; D* of liver is of the order of the medians in the review
# of Li et al. 2017 (doi:10.21037/qims.2017.02.03). D* of the others, and muscle and fluid, are the
# digital reference of OSIPI TF 2.4 (reference/ivim/osipi_generic_one.json of the shared data).
TISSUE = {
    "liver": (1.10e-3, 0.28, 0.070),
    "spleen": (0.80e-3, 0.08, 0.030),
    "pancreas": (1.70e-3, 0.33, 0.010),
    "kidney": (2.20e-3, 0.11, 0.020),
    "muscle": (1.37e-3, 0.10, 0.026),
    "fluid": (2.90e-3, 0.02, 0.020),
}
"""D, f, D* by tissue."""

VESSEL = (1.6e-3, 0.80, 0.100)

# Metastases and carcinomas restrict diffusion and are less perfused; cysts and haemangiomas are freer.
LESIONS = ((0.65, 0.45, 0.8), (1.5, 0.35, 0.8), (1.0, 1.8, 1.0))
"""Factors of D, f, D* in lesions, in turn."""

TEXTURE = (0.04, 0.08, 0.08)
"""Relative standard deviation of D, f, D* within a tissue."""
TEXTURE_WIDTH = 1.5
"""Voxels."""
LESION_COUNT, VESSEL_COUNT, VESSEL_LENGTH = 12, 10, 8
LARGEST_F = 0.95


def ivim(seed: int, bvals: Sequence[float] = B_VALUES, number: int | None = None) -> Phantom:
    """Return one abdominal slice.

    Parameters
    ----------
    seed
        Of texture, lesions, vessels; and of the volunteer, unless `number` says which.
    bvals
        One image each, in s/mm^2.
    number
        Volunteer 1, 2 or 3.

    Notes
    -----
    S0 are the volunteer's own mean images at b = 0. Tissues meet without partial volume. Signal-to-noise
    ratios refer to the median of S0 in the body.
    """
    rng = np.random.default_rng([seed, 1])
    who = volunteer(1 + seed % 3 if number is None else number)
    whole = who.tissue
    hosts = [whole[name] for name in ("liver", "muscle", "spleen", "kidney") if name in whole]
    lesions, around = lesions_in(hosts, LESION_COUNT, rng)
    vessels = vessels_in(who.body & (lesions == 0) & (around == 0), VESSEL_COUNT, VESSEL_LENGTH, rng)
    values = _values(who, lesions, vessels, rng)
    truth = dict(zip(("d", "f", "dstar"), values, strict=True)) | {"s0": np.maximum(who.mean(0.0), 1.0)}
    truth = {name: np.where(who.body, grid, np.nan) for name, grid in truth.items()}
    special = (lesions > 0) | vessels
    regions = {name: m & ~special for name, m in whole.items()}
    regions |= {"lesion": lesions > 0, "edge": edges(whole), "vessel": vessels}
    protocol = DiffusionProtocol(np.asarray(bvals, dtype=np.float64))
    clean = np.zeros((*who.body.shape, protocol.n_measurements))
    explained = get_model("ivim").predict({n: g[who.body] for n, g in truth.items()}, protocol)
    assert explained is not None
    clean[who.body] = explained
    reference = float(np.median(truth["s0"][who.body]))
    return Phantom(
        "ivim",
        "ivim",
        seed,
        truth,
        ("d", "f", "dstar"),
        who.body,
        regions,
        lesions,
        around,
        protocol,
        clean,
        reference,
    )


def _values(who: Volunteer, lesions: IntArray, vessels: BoolArray, rng: np.random.Generator) -> FloatArray:
    """Return D, f and D*, (3, x, y, z)."""
    values = np.ones((3, *who.body.shape))
    for name, inside in who.tissue.items():
        values[:, inside] = np.array(TISSUE[name])[:, None]
    for i in range(1, int(lesions.max()) + 1):
        values[:, lesions == i] *= np.array(LESIONS[i % len(LESIONS)])[:, None]
    values[:, vessels] = np.array(VESSEL)[:, None]
    for value, strength in zip(values, TEXTURE, strict=True):
        value *= np.exp(strength * smooth_field(who.body.shape, TEXTURE_WIDTH, rng))
    values[1] = np.minimum(values[1], LARGEST_F)
    return values
