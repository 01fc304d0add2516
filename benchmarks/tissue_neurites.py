"""NODDI in a brain: slices of ICBM152 with known NDI, ODI, FWF and directions; and voxels drawn by tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.tissue_base import IntArray, Phantom, smooth_field
from benchmarks.tissue_brain import TEXTURE_WIDTH, parts
from benchmarks.tissue_geometry import Brain, brain, shared_data
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.noddi.model import COMPONENTS, noddi_signal
from bids_qmri.units import FloatArray

SCHEMES = {"s1": "noddi_s1", "ukb": "ukb_like"}
"""Files of the shared data by the names that they have here."""

# Of the order of Zhang et al. 2012 (doi:10.1016/j.neuroimage.2012.03.072) and later reports.
TISSUE = {"white": (0.62, 0.20, 0.05), "grey": (0.42, 0.50, 0.08)}
"""NDI, ODI and FWF without partial volume of fluid."""
S0 = {"white": 1.0, "grey": 1.25, "fluid": 2.6}
TEXTURE = (0.06, 0.10)
"""Relative standard deviation of NDI and ODI within a tissue."""
NDI_LESIONS = (0.6, 0.75, 1.2)
"""Factors of NDI in lesions, in turn."""
DIRECTION_WIDTH = 4.0
"""Voxels."""
MOSTLY_TISSUE = 0.5
"""FWF below which NDI and ODI are of use."""

SHARES = {"white": 0.4, "grey": 0.4, "mixed": 0.2}
"""Of `noddi_tissue_draws`."""
SPREAD = {"white": (0.07, 0.06, 0.03), "grey": (0.06, 0.08, 0.04)}
"""Standard deviation of NDI, ODI and FWF between drawn voxels."""


def scheme(name: str) -> DiffusionProtocol:
    """Return a scheme of the shared data: ``s1``, ``ukb``, or a file's name without ending."""
    path = shared_data() / "schemes" / SCHEMES.get(name, name)
    return DiffusionProtocol(np.loadtxt(path.with_suffix(".bval")), np.loadtxt(path.with_suffix(".bvec")).T)


def noddi(seed: int, name: str = "s1", slices: int = 2) -> Phantom:
    """Return neurites of a brain; NDI and ODI of mixed voxels are means over matter, FWF over all.

    Parameters
    ----------
    seed
        Of texture, lesions and directions.
    name
        Of the scheme.
    slices
        Of 3 mm, about 2,200 voxels each.

    Notes
    -----
    Where a voxel is fluid alone, NDI and ODI have no meaning: region ``matter`` are voxels with FWF
    below 0.5.
    There are no vessels. Signal-to-noise ratios refer to S0 of white matter.
    """
    rng, where = np.random.default_rng([seed, 4]), brain(slices=slices)
    shape, mask, protocol = where.mask.shape, where.mask, scheme(name)
    placed = parts(where, mask, rng, vessel_count=0)
    ndi, odi, fwf = _tissue(where, placed.lesions, rng)
    direction = np.stack([smooth_field(shape, DIRECTION_WIDTH, rng) for _ in range(3)], axis=-1)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    s0 = where.mixed(*(np.full(shape, S0[n]) for n in ("white", "grey", "fluid")))
    truth = {"ndi": ndi, "odi": odi, "fwf": fwf, "s0": s0}
    truth |= {axis: direction[..., i] for i, axis in enumerate(COMPONENTS)}
    clean = np.zeros((*shape, protocol.n_measurements))
    attenuation = noddi_signal(ndi[mask], odi[mask], fwf[mask], direction[mask], protocol)
    clean[mask] = s0[mask][:, None] * attenuation.T
    regions = placed.regions | {"matter": mask & (fwf < MOSTLY_TISSUE)}
    reference = float(np.median(s0[regions["white"]]))
    return Phantom(
        f"noddi-{name}",
        "noddi",
        seed,
        {n: np.where(mask, grid, np.nan) for n, grid in truth.items()},
        ("ndi", "odi", "fwf"),
        mask,
        regions,
        placed.lesions,
        placed.around,
        protocol,
        clean,
        reference,
        headline={"ndi": "matter", "odi": "matter"},
    )


def _tissue(
    where: Brain, lesions: IntArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    shape = where.mask.shape
    matter = np.maximum(where.white + where.grey, 1e-6)
    white = np.where(matter > 0.01, where.white / matter, 0.5)
    ndi, odi, water = (
        white * a + (1 - white) * b for a, b in zip(TISSUE["white"], TISSUE["grey"], strict=True)
    )
    for i in range(1, int(lesions.max()) + 1):
        ndi[lesions == i] *= NDI_LESIONS[i % len(NDI_LESIONS)]
    ndi = ndi * np.exp(TEXTURE[0] * smooth_field(shape, TEXTURE_WIDTH, rng))
    odi = odi * np.exp(TEXTURE[1] * smooth_field(shape, TEXTURE_WIDTH, rng))
    fwf = water * (1 - where.fluid) + where.fluid
    return np.clip(ndi, 0.02, 0.95), np.clip(odi, 0.02, 0.95), np.clip(fwf, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Draws:
    """Voxels without neighbours: signals (V, N) with Rician noise, truth (V,) by name, tissue (V,)."""

    signal: FloatArray
    truth: dict[str, FloatArray]
    tissue: npt.NDArray[np.str_]
    sigma: float
    protocol: DiffusionProtocol
    clean: FloatArray


def noddi_tissue_draws(scheme_name: str | DiffusionProtocol, snr: float, seed: int, n: int) -> Draws:
    """Draw 40 % white matter, 40 % grey matter, and 20 % of either mixed with fluid up to FWF 1.

    Parameters
    ----------
    scheme_name
        As of `scheme`, or a protocol.
    snr
        S0, which is 1 in all voxels, over the noise of one image.
    seed
        Of truth and noise.
    n
        Number of voxels.
    """
    rng = np.random.default_rng([seed, 5])
    protocol = scheme(scheme_name) if isinstance(scheme_name, str) else scheme_name
    tissue = rng.choice(list(SHARES), n, p=list(SHARES.values()))
    of = np.where(tissue == "mixed", rng.choice(("white", "grey"), n), tissue)
    centre, spread = (np.array([table[name] for name in of]).T for table in (TISSUE, SPREAD))
    ndi, odi, fwf = centre + spread * rng.standard_normal((3, n))
    # Free water of tissue is never negative: half a Gaussian.
    fwf = np.abs(fwf)
    added = np.where(tissue == "mixed", rng.uniform(0.0, 1.0, n), 0.0)
    theta = np.clip([ndi, odi, fwf + (1 - fwf) * added], [[0.02], [0.02], [0.0]], [[0.98], [0.98], [1.0]])
    direction = rng.standard_normal((n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    clean = noddi_signal(theta[0], theta[1], theta[2], direction, protocol).T
    truth = dict(zip(("ndi", "odi", "fwf", *COMPONENTS), [*theta, *direction.T], strict=True))
    return Draws(add_rician_noise(clean, 1 / snr, rng), truth, tissue, 1 / snr, protocol, clean)
