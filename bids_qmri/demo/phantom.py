"""Two digital phantoms made of ellipsoids: a brain and an abdomen, with the truth of every tissue.

Arrays only. The values are of the order that the literature reports at 3 T; they are a truth to compare with,
not a claim about anatomy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.units import FloatArray

SHAPE = (64, 64, 8)
VOXEL_SIZE = (3.5, 3.5, 6.0)
"""mm."""

Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Centre and half axes, in units of half the field of view."""


@dataclass(frozen=True)
class Tissue:
    """One tissue of a phantom.

    Parameters
    ----------
    name
        What tables call it.
    truth
        Values by parameter name: t1 in s; md, d, dstar in mm^2/s; fa, f, ve, vp, ndi, odi, fwf as fractions;
        kep in 1/min. NaN where a tissue has no such property.
    ellipsoids
        Where it is; later tissues replace earlier ones.
    folds
        Relative depth of the folds of its surface.
    """

    name: str
    truth: Mapping[str, float]
    ellipsoids: Sequence[Ellipsoid]
    folds: float = 0.0


@dataclass(frozen=True)
class Phantom:
    """Tissues and where they are.

    Parameters
    ----------
    tissues
        Tissue i has the label i + 1.
    labels
        0 outside, shape `SHAPE`.
    """

    tissues: Sequence[Tissue]
    labels: npt.NDArray[np.uint8]

    def values(self, name: str) -> FloatArray:
        """Return the truth of one parameter per tissue, shape (T,)."""
        return np.array([tissue.truth[name] for tissue in self.tissues])

    def image(self, per_tissue: npt.ArrayLike) -> FloatArray:
        """Return values per tissue, shape (..., T), as images, shape SHAPE + (...); 0 outside."""
        values = np.moveaxis(np.asarray(per_tissue, dtype=np.float64), -1, 0)
        table = np.concatenate([np.zeros_like(values[:1]), values])
        return np.asarray(table[self.labels])


def brain() -> Phantom:
    """Return a head with two kinds of matter, ventricles and a lesion."""
    return _phantom(
        _matter(
            "grey matter",
            (1.4, 8e3),
            (0.8e-3, 0.12),
            (0.45, 0.45, 0.10),
            [((0, 0, 0), (0.72, 0.88, 1.8))],
            0.05,
        ),
        _matter(
            "white matter",
            (0.85, 7e3),
            (0.7e-3, 0.6),
            (0.65, 0.15, 0.05),
            [((0, 0, 0), (0.56, 0.72, 1.6))],
            0.10,
        ),
        _matter(
            "cerebrospinal fluid",
            (3.8, 1e4),
            (3.0e-3, 0.0),
            (np.nan, np.nan, 1.0),
            [((-0.10, 0.08, 0), (0.07, 0.30, 1.1)), ((0.10, 0.08, 0), (0.07, 0.30, 1.1))],
        ),
        _matter(
            "lesion",
            (1.9, 9e3),
            (1.4e-3, 0.15),
            (0.30, 0.55, 0.25),
            [((0.30, -0.32, 0), (0.16, 0.14, 0.9))],
        ),
    )


def abdomen() -> Phantom:
    """Return a trunk with liver, spleen, kidneys and a lesion in the liver."""
    return _phantom(
        _perfused("muscle", 1.1, (1.5e-3, 0.031, 0.10), (0.50, 0.12, 0.01), [((0, 0, 0), (0.92, 0.66, 2.5))]),
        _perfused(
            "liver", 0.81, (1.1e-3, 0.070, 0.23), (1.20, 0.25, 0.04), [((-0.40, 0.06, 0), (0.42, 0.40, 1.6))]
        ),
        _perfused(
            "spleen", 1.33, (0.8e-3, 0.040, 0.10), (1.50, 0.30, 0.06), [((0.60, -0.08, 0), (0.17, 0.28, 1.2))]
        ),
        _perfused(
            "kidney",
            1.20,
            (1.9e-3, 0.041, 0.19),
            (1.00, 0.40, 0.08),
            [((-0.30, -0.38, 0), (0.14, 0.17, 1.3)), ((0.30, -0.38, 0), (0.14, 0.17, 1.3))],
        ),
        _perfused(
            "lesion", 1.60, (1.4e-3, 0.030, 0.06), (0.40, 0.45, 0.03), [((-0.50, 0.16, 0), (0.14, 0.13, 0.9))]
        ),
    )


def _matter(
    name: str,
    spoiled: tuple[float, float],
    tensor: tuple[float, float],
    neurites: tuple[float, float, float],
    ellipsoids: Sequence[Ellipsoid],
    folds: float = 0.0,
) -> Tissue:
    """Return a tissue of the head from T1 and M0, MD and FA, and NODDI (NDI, ODI, FWF)."""
    truth = dict(zip(("t1", "m0", "md", "fa"), (*spoiled, *tensor), strict=True))
    truth |= dict(zip(("ndi", "odi", "fwf"), neurites, strict=True))
    return Tissue(name, truth, ellipsoids, folds)


def _perfused(
    name: str,
    t1: float,
    ivim: tuple[float, float, float],
    tofts: tuple[float, float, float],
    ellipsoids: Sequence[Ellipsoid],
) -> Tissue:
    """Return a tissue from T1, IVIM (D, D*, f) and extended Tofts (kep, ve, vp)."""
    truth = {"t1": t1, "m0": 8e3, "s0": 1e3, "t0": 3.0}
    truth |= dict(zip(("d", "dstar", "f"), ivim, strict=True))
    truth |= dict(zip(("kep", "ve", "vp"), tofts, strict=True))
    truth["ktrans"] = truth["kep"] * truth["ve"]
    return Tissue(name, truth, ellipsoids)


def _phantom(*tissues: Tissue) -> Phantom:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for label, tissue in enumerate(tissues, start=1):
        for ellipsoid in tissue.ellipsoids:
            labels[_inside(ellipsoid, tissue.folds)] = label
    return Phantom(tissues, labels)


def _inside(ellipsoid: Ellipsoid, folds: float) -> npt.NDArray[np.bool_]:
    axes = [(np.arange(n) + 0.5) / n * 2 - 1 for n in SHAPE]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    (x0, y0, z0), (rx, ry, rz) = ellipsoid
    angle = np.arctan2((y - y0) / ry, (x - x0) / rx)
    surface = 1 + folds * (0.6 * np.sin(9 * angle + z) + 0.4 * np.sin(22 * angle - z))
    return np.asarray(((x - x0) / rx) ** 2 + ((y - y0) / ry) ** 2 + ((z - z0) / rz) ** 2 < surface**2)
