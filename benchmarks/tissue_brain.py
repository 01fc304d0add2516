"""VFA and DCE in a brain: slices of ICBM152 with known T1 or kinetics. s, rad, 1/min, mmol/L."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.tissue_base import BoolArray, IntArray, Phantom, Spoiled, smooth_field
from benchmarks.tissue_geometry import Brain, brain, edges, lesions_in, vessels_in
from bids_qmri.catalogue import get_model
from bids_qmri.physics.arterial_input import parker, plasma_from_blood
from bids_qmri.physics.spoiled_gradient_echo import concentration_to_signal
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

TEXTURE_WIDTH = 1.5
"""Voxels."""
LESION_COUNT, VESSEL_COUNT, VESSEL_LENGTH = 16, 14, 10

FLIP_ANGLES, VFA_TR = (2.0, 5.0, 10.0, 15.0), 0.015
"""Degrees and s."""
REFERENCE_ANGLE = 1
"""Index of the 5 degrees whose signal in white matter is the S of SNR."""

# At 3 T: white and grey matter between the 0.83 and 1.33 s of Wansapura et al. 1999 and the 1.08 and 1.82 s
# of Stanisz et al. 2005 (doi:10.1002/mrm.20605), as VFA reports them; blood of Lu et al. 2004
# (doi:10.1002/mrm.20178); cerebrospinal fluid is of the order of 4 s.
T1 = {"white": 0.92, "grey": 1.45, "fluid": 4.2, "vessel": 1.65}
M0 = {"white": 0.70, "grey": 0.82, "fluid": 1.0, "vessel": 0.85}
T1_TEXTURE = 0.04
T1_LESIONS = (1.35, 1.6, 0.8)
"""Factors of T1 in lesions, in turn: oedema or plaque, more of it, blood products or fat."""
RECEIVE = 0.15
"""Relative standard deviation of the receive field, smooth over a quarter of the head."""


@dataclass(frozen=True, eq=False)
class _Parts:
    """What all brains have: tissues without their lesions and vessels."""

    regions: dict[str, BoolArray]
    lesions: IntArray
    around: IntArray
    vessels: BoolArray


def parts(
    where: Brain, mask: BoolArray, rng: np.random.Generator, vessel_count: int = VESSEL_COUNT
) -> _Parts:
    """Place lesions in white and grey matter, and vessels, and label what is left."""
    labels = where.labels()
    whole = {name: mask & (labels == i) for i, name in enumerate(("white", "grey", "fluid"))}
    lesions, around = lesions_in([whole["white"], whole["grey"]], LESION_COUNT, rng)
    vessels = vessels_in(mask & (lesions == 0) & (around == 0), vessel_count, VESSEL_LENGTH, rng)
    special = (lesions > 0) | vessels
    regions = {name: m & ~special for name, m in whole.items() if np.any(m)}
    regions |= {"lesion": lesions > 0, "edge": edges(whole)}
    if vessel_count:
        regions["vessel"] = vessels
    return _Parts(regions, lesions, around, vessels)


def vfa(seed: int, slices: int = 4) -> Phantom:
    """Return T1 of a brain; rates 1/T1 and M0 of mixed voxels are means by volume.

    Parameters
    ----------
    seed
        Of texture, lesions, vessels and the receive field.
    slices
        Of 3 mm, about 2,200 voxels each.
    """
    rng, where = np.random.default_rng([seed, 2]), brain(slices=slices)
    shape, mask = where.mask.shape, where.mask
    placed = parts(where, mask, rng)
    t1 = 1 / where.mixed(*(np.full(shape, 1 / T1[name]) for name in ("white", "grey", "fluid")))
    m0 = where.mixed(*(np.full(shape, M0[name]) for name in ("white", "grey", "fluid")))
    t1 *= _factors(placed.lesions, T1_LESIONS)
    t1[placed.vessels], m0[placed.vessels] = T1["vessel"], M0["vessel"]
    t1 = t1 * np.exp(T1_TEXTURE * smooth_field(shape, TEXTURE_WIDTH, rng))
    m0 = m0 * np.exp(RECEIVE * smooth_field(shape, shape[0] / 4, rng))
    truth = {"t1": np.where(mask, t1, np.nan), "m0": np.where(mask, m0, np.nan)}
    protocol = VfaProtocol(np.deg2rad(FLIP_ANGLES), np.array(VFA_TR))
    clean = np.zeros((*shape, len(FLIP_ANGLES)))
    clean[mask] = get_model("vfa").signal(np.stack([t1[mask], m0[mask]]), protocol).T
    reference = float(np.median(clean[placed.regions["white"]][:, REFERENCE_ANGLE]))
    return Phantom(
        "vfa",
        "vfa",
        seed,
        truth,
        ("t1",),
        mask,
        placed.regions,
        placed.lesions,
        placed.around,
        protocol,
        clean,
        reference,
    )


def _factors(lesions: IntArray, factors: tuple[float, ...]) -> FloatArray:
    """Return the factor of every voxel: of its lesion, or 1."""
    table = np.array([1.0, *(factors[i % len(factors)] for i in range(1, int(lesions.max()) + 1))])
    return np.asarray(table[lesions])


FRAMES, FRAME_S, ARRIVAL_S, BASELINE = 60, 5.0, 40.0, 7
"""Frames, their distance in s, when the bolus arrives, and frames that are surely before it."""
HEMATOCRIT, DISPERSION_S = 0.42, 3.0

# Of the order of what is reported: normal brain leaks some 1e-3 / min (Larsson et al. 2009,
# doi:10.1002/mrm.22005), plasma volumes are about 1 % in white and 2 % in grey matter; rims of
# glioblastoma have Ktrans of some 0.1 / min, cores hardly any blood.
KINETICS = {
    "white": (0.002, 0.12, 0.010),
    "grey": (0.004, 0.16, 0.022),
    "fluid": (0.0005, 0.05, 0.002),
    "rim": (0.15, 0.35, 0.060),
    "core": (0.015, 0.50, 0.008),
    "lesion": (0.08, 0.25, 0.030),
    "vessel": (0.004, 0.12, 0.280),
}
"""Ktrans (1/min), ve, vp."""
KINETIC_TEXTURE = (0.08, 0.05, 0.08)
TUMOUR_RADIUS, CORE_RADIUS = 7.0, 4.2
"""Voxels."""
DCE_ANGLE, DCE_TR, RELAXIVITY = 15.0, 0.005, 4.5
T10_TUMOUR = 1.6
LEAST_TISSUE = 0.5
"""Part of matter in a voxel from which it is fitted: fluid takes up no contrast agent."""


def dce(seed: int, slices: int = 3, route: Literal["concentration", "signal"] = "concentration") -> Phantom:
    """Return kinetics of a brain with a tumour.

    Parameters
    ----------
    seed
        Of texture, lesions, vessels and the place of the tumour.
    slices
        Of 3 mm, about 2,000 voxels each.
    route
        ``concentration``: images are concentrations, with Gaussian noise; signal-to-noise ratios refer to the
        median of the peaks in the rim. ``signal``: spoiled gradient echoes that are converted with the true
        native T1 and the mean of `BASELINE` frames; ratios refer to white matter before the bolus.
    """
    rng, where = np.random.default_rng([seed, 3]), brain(slices=slices)
    mask = where.mask & (where.white + where.grey >= LEAST_TISSUE)
    rim, core = _tumour(where, mask, rng)
    placed = parts(where, mask & ~rim & ~core, rng)
    regions = {**placed.regions, "rim": rim, "core": core}
    names = ("white", "grey", "rim", "core")
    regions["edge"] = edges({name: regions[name] for name in names})
    theta = _kinetics(where, regions, rng)
    truth = dict(zip(("kep", "ve", "vp", "t0"), np.where(mask, theta, np.nan), strict=True))
    truth["ktrans"] = truth["kep"] * truth["ve"]
    protocol = _driven()
    clean = np.zeros((*mask.shape, FRAMES))
    clean[mask] = get_model("etofts").signal(theta[:, mask], protocol).T
    reference, spoiled = float(np.median(clean[rim].max(axis=-1))), None
    if route == "signal":
        clean, spoiled = _as_signal(where, clean, mask, rim | core)
        reference = float(np.median(clean[regions["white"]][:, 0]))
    return Phantom(
        "dce" if route == "concentration" else "dce-signal",
        "etofts",
        seed,
        truth,
        ("ktrans", "ve", "vp", "kep"),
        mask,
        regions,
        placed.lesions,
        placed.around,
        protocol,
        clean,
        reference,
        magnitude=route == "signal",
        spoiled=spoiled,
    )


def _tumour(where: Brain, mask: BoolArray, rng: np.random.Generator) -> tuple[BoolArray, BoolArray]:
    """Return rim and core of a tumour in the white matter of either side, away from its middle."""
    columns, rows, slices = mask.shape
    side = rng.choice((0.29, 0.71))
    centre = np.array([side * columns, rng.uniform(0.45, 0.65) * rows, (slices - 1) / 2])
    away = np.moveaxis(np.indices(mask.shape), 0, -1) - centre
    radius = np.linalg.norm(away, axis=-1) * np.exp(0.08 * smooth_field(mask.shape, 3.0, rng))
    return mask & (radius < TUMOUR_RADIUS) & (radius >= CORE_RADIUS), mask & (radius < CORE_RADIUS)


def _kinetics(where: Brain, regions: dict[str, BoolArray], rng: np.random.Generator) -> FloatArray:
    """Return kep, ve, vp and t0, (4, x, y, z); Ktrans, ve and vp of mixed voxels are means by volume."""
    shape = where.mask.shape
    tissue = np.stack(
        [where.mixed(*(np.full(shape, KINETICS[n][i]) for n in ("white", "grey", "fluid"))) for i in range(3)]
    )
    for name in ("rim", "core", "lesion", "vessel"):
        tissue[:, regions[name]] = np.array(KINETICS[name])[:, None]
    for value, strength in zip(tissue, KINETIC_TEXTURE, strict=True):
        value *= np.exp(strength * smooth_field(shape, TEXTURE_WIDTH, rng))
    ktrans, ve, vp = tissue
    return np.stack([ktrans / ve, ve, vp, np.zeros(shape)])


def _driven() -> DceProtocol:
    """Return frames and an input as if measured: that of Parker et al., dispersed, read at the frames."""
    fine = np.arange(-60.0, FRAMES * FRAME_S, 0.25)
    blood = parker(fine - ARRIVAL_S)
    kernel = np.exp(-np.arange(0, 10 * DISPERSION_S, 0.25) / DISPERSION_S)
    dispersed = np.convolve(blood, kernel / kernel.sum())[: fine.size]
    time = np.arange(FRAMES, dtype=np.float64) * FRAME_S
    plasma = plasma_from_blood(np.interp(time, fine, dispersed), HEMATOCRIT)
    return DceProtocol(time, time, plasma)


def _as_signal(
    where: Brain, clean: FloatArray, mask: BoolArray, tumour: BoolArray
) -> tuple[FloatArray, Spoiled]:
    """Return spoiled gradient echoes, 0 outside the mask, and what turns them into concentrations."""
    shape = mask.shape
    rate = where.mixed(*(np.full(shape, 1 / T1[name]) for name in ("white", "grey", "fluid")))
    t10 = np.where(tumour, T10_TUMOUR, 1 / rate)
    density = where.mixed(*(np.full(shape, M0[name]) for name in ("white", "grey", "fluid")))
    angle = float(np.deg2rad(DCE_ANGLE))
    e1 = np.exp(-DCE_TR / t10)
    native = density * np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle))
    signal = np.zeros_like(clean)
    signal[mask] = concentration_to_signal(
        clean[mask], native[mask], t10[mask], flip_angle=angle, repetition_time=DCE_TR, relaxivity=RELAXIVITY
    )
    return signal, Spoiled(t10, angle, DCE_TR, RELAXIVITY, BASELINE)
